//! The first contact: librdkafka tries for ever, and who is refused must hear it within seconds.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::connection::Connection;
use crate::error::OpenError;
use crate::loopback;

/// How long one try waits for an answer. A refusal is looked for after each; 20 s in all.
const TRIES_MS: [u64; 17] =
    [250, 250, 250, 250, 250, 250, 250, 250, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 4_000, 4_000, 4_000];
/// How long all that was said meanwhile is listened to: a poll of no time hears only the first of it.
const LISTEN: Duration = Duration::from_millis(20);
/// Where one server refuses, another may still answer for so many tries.
const TRIES_BESIDE_A_REFUSAL: usize = 8;

/// Why trying again cannot help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// User or password.
    #[error("does not accept username and password")]
    Password,
    /// The broker's certificate.
    #[error("shows a certificate that is expired, for another name, or by no authority of ca_file")]
    Authority,
    /// The own certificate. Brokers do not tell who shows none from who shows a wrong one.
    #[error(
        "does not accept certificate_file: it is missing, expired, or by an authority that the brokers do not know"
    )]
    Certificate,
    /// Anything else of TLS.
    #[error("cannot agree with this client on TLS")]
    Tls,
}

/// Returns once a broker has let us in.
pub(crate) fn make(connection: &Connection) -> Result<(), OpenError> {
    let failed = |source| OpenError::Kafka { brokers: connection.brokers().to_owned(), source };
    // A consumer's look at a topic does not create it.
    let client: BaseConsumer<Listening> =
        connection.client().create_with_context(Listening::default()).map_err(failed)?;
    let mut beside_a_refusal = 0;
    for wait_ms in TRIES_MS {
        match client.fetch_metadata(Some("__consumer_offsets"), Duration::from_millis(wait_ms)) {
            Ok(metadata) => {
                return stays_here(connection, metadata.brokers().iter().map(|broker| (broker.host(), broker.port())));
            }
            Err(error) => tracing::debug!(%error, "no broker answers yet"),
        }
        while client.poll(LISTEN).is_some() {}
        let heard = client.context().heard();
        let Some((refusal, reason)) = &heard.refused else { continue };
        beside_a_refusal += 1;
        if heard.all_tried || beside_a_refusal > TRIES_BESIDE_A_REFUSAL {
            let (brokers, refusal, reason) = (connection.brokers().to_owned(), *refusal, reason.clone());
            return Err(OpenError::Refused { brokers, refusal, reason });
        }
    }
    let heard = std::mem::take(&mut *client.context().heard());
    let reason = heard.unreached.unwrap_or_else(|| "none answers".to_owned());
    Err(OpenError::Unreached { brokers: connection.brokers().to_owned(), reason })
}

/// Brokers name the addresses that clients must use from then on.
fn stays_here<'a>(connection: &Connection, brokers: impl IntoIterator<Item = (&'a str, i32)>) -> Result<(), OpenError> {
    if !connection.cluster().may_leave_the_machine() {
        for (host, port) in brokers {
            loopback::check_host(host, u16::try_from(port).unwrap_or_default())?;
        }
    }
    Ok(())
}

/// What a client heard while it found no broker.
#[derive(Default)]
struct Heard {
    /// Said first by a broker that does not let us in, or that we do not trust.
    refused: Option<(Refusal, String)>,
    /// Said last by any other.
    unreached: Option<String>,
    /// Each server was tried.
    all_tried: bool,
}

#[derive(Default)]
struct Listening(Mutex<Heard>);

impl Listening {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Listening {
    fn error(&self, error: KafkaError, reason: &str) {
        let mut heard = self.heard();
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            heard.all_tried = true;
        } else if let Some(refusal) = refusal(&error, reason) {
            heard.refused.get_or_insert_with(|| (refusal, reason.to_owned()));
        } else {
            heard.unreached = Some(reason.to_owned());
        }
    }

    /// Says the same again.
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, message, "Kafka");
    }
}

impl ConsumerContext for Listening {}

/// What OpenSSL says when the other side ends the connection: RFC 8446, section 6.
const ALERT: &str = "SSL alert number ";
/// Those about the certificate that it was shown: from bad to unknown, an unknown authority, none at all.
const OF_CERTIFICATES: [&str; 7] = ["42", "43", "44", "45", "46", "48", "116"];

/// A broker reads the client's certificate after the handshake of TLS 1.3: librdkafka takes its alert for
/// any other failure of the connection.
fn refusal(error: &KafkaError, reason: &str) -> Option<Refusal> {
    if let Some((_, alert)) = reason.split_once(ALERT) {
        let number = alert.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        return Some(if OF_CERTIFICATES.contains(&number) { Refusal::Certificate } else { Refusal::Tls });
    }
    let code = error.rdkafka_error_code()?;
    let of_password = [RDKafkaErrorCode::Authentication, RDKafkaErrorCode::SaslAuthenticationFailed];
    if of_password.contains(&code) {
        Some(Refusal::Password)
    } else if code != RDKafkaErrorCode::SSL {
        None
    } else if reason.contains("certificate verify failed") {
        Some(Refusal::Authority)
    } else {
        Some(Refusal::Tls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Cluster;

    #[test]
    fn a_refusal_is_told_from_a_broker_that_is_away() {
        let (ssl, transport) = (RDKafkaErrorCode::SSL, RDKafkaErrorCode::BrokerTransportFailure);
        let table = [
            (RDKafkaErrorCode::Authentication, "SASL authentication error: …", Some(Refusal::Password)),
            (ssl, "SSL handshake failed: error:0A000086:…::certificate verify failed: …", Some(Refusal::Authority)),
            (transport, "Receive failed: …: SSL alert number 42 (after 0ms in state …)", Some(Refusal::Certificate)),
            (transport, "Receive failed: …: SSL alert number 116", Some(Refusal::Certificate)),
            (ssl, "SSL handshake failed: …: SSL alert number 40 (after 1ms …)", Some(Refusal::Tls)),
            (ssl, "SSL handshake failed: …: unsupported protocol", Some(Refusal::Tls)),
            (transport, "Connect to ipv4#127.0.0.1:1 failed: Connection refused", None),
            (transport, "Disconnected: connecting to a PLAINTEXT broker listener?", None),
        ];
        for (code, reason, expected) in table {
            assert_eq!(refusal(&KafkaError::Global(code), reason), expected, "{reason}");
        }
    }

    #[test]
    fn brokers_may_not_lead_plaintext_off_the_machine() {
        let of = |cluster: Cluster| cluster.connection().expect("a connection");
        let permitted = Cluster { insecure_plaintext: true, ..Cluster::from("localhost") };
        let here = [("127.0.0.1", 9092), ("::1", 9092)];
        let (local, permitted) = (of(Cluster::from("localhost")), of(permitted));
        assert!(stays_here(&local, here).is_ok());
        let Err(error) = stays_here(&local, [here[0], ("192.0.2.7", 9092)]) else { panic!("it was permitted") };
        assert!(error.to_string().contains("192.0.2.7:9092"), "{error}");
        assert!(stays_here(&permitted, [("192.0.2.7", 9092)]).is_ok());
    }
}
