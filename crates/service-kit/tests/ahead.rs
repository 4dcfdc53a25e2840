//! Whoever names a position may have it from a process that has read further than this one.

use std::sync::Arc;

use bytes::Bytes;
use rejoinder_event_log::{EventLog, MemoryLog};
use rejoinder_service_kit::LogNews;

#[tokio::test]
async fn a_position_that_comes_soon_is_waited_for() {
    let log: Arc<dyn EventLog> = MemoryLog::new(2);
    let news = LogNews::of(&*log);
    log.append(1, Bytes::from_static(b"first")).unwrap();
    assert!(news.reached(&*log, 1, 0).await, "it is there");
    let (waiting, of) = (news.clone(), log.clone());
    let third = tokio::spawn(async move { waiting.reached(&*of, 1, 2).await });
    for other in [(0, "of another partition"), (1, "second"), (1, "third")] {
        tokio::task::yield_now().await;
        assert!(!third.is_finished(), "before {other:?}");
        log.append(other.0, Bytes::from(other.1)).unwrap();
    }
    assert!(third.await.unwrap());
}

#[tokio::test]
async fn one_that_does_not_come_is_given_up_after_a_second() {
    let log: Arc<dyn EventLog> = MemoryLog::new(1);
    let news = LogNews::of(&*log);
    let began = tokio::time::Instant::now();
    assert!(!news.reached(&*log, 0, 0).await);
    assert!(began.elapsed().as_secs() >= 1, "it was waited for");
    assert!(!news.reached(&*log, 7, 0).await, "of a partition that is not there");
    news.end();
    let began = tokio::time::Instant::now();
    assert!(!news.reached(&*log, 0, 0).await);
    assert!(began.elapsed().as_millis() < 500, "the server stops");
}
