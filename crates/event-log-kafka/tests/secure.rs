//! TLS, passwords, certificates and rights on a real broker, and what is said to who is refused.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

mod broker;
mod own_broker;
mod tools;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use figment::Figment;
use figment::providers::{Format as _, Toml};
use own_broker::OwnBroker;
use rejoinder_event_log::EventLog as _;
use rejoinder_event_log_kafka::{
    Cluster, ConnectionError, KafkaLog, OpenError, Options, PASSWORD_VARIABLE, Refusal, Security,
};
use tools::{run, tool};

/// Who is refused hears it within this time, also on a machine that is busy.
const SOON: Duration = Duration::from_secs(8);

/// A broker on which rights are given.
const PORT_OF_RIGHTS: u16 = 9_700;

/// A broker of development, as `kafka.sh show` tells it.
struct Broker(BTreeMap<String, String>);

impl Broker {
    fn started() -> Self {
        Self::of_port(None)
    }

    fn of_port(port: Option<u16>) -> Self {
        broker::script(port, &["start"]);
        let lines = broker::script(port, &["show"]);
        let pairs = lines.lines().filter_map(|line| line.split_once('='));
        Self(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    fn value(&self, name: &str) -> &str {
        &self.0[name]
    }

    fn file(&self, name: &str) -> Option<PathBuf> {
        Some(PathBuf::from(self.value(name)))
    }

    /// As an operator would reach it with a certificate.
    fn mutual_tls(&self) -> Cluster {
        Cluster {
            security: Security::Tls,
            ca_file: self.file("ca_file"),
            certificate_file: self.file("certificate_file"),
            key_file: self.file("key_file"),
            ..Cluster::from(self.value("mutual_tls"))
        }
    }

    /// As an operator would reach it with a password.
    fn sasl_tls(&self) -> Cluster {
        Cluster {
            security: Security::SaslTls,
            ca_file: self.file("ca_file"),
            username: Some(self.value("username").to_owned()),
            password_file: self.file("password_file"),
            ..Cluster::from(self.value("sasl_tls"))
        }
    }
}

/// A log of its own.
fn fresh(cluster: Cluster) -> Options {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let topic = format!("secure-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    Options { partitions: 2, replication: 1, ..Options::new(cluster, &topic) }
}

/// Writes with one log, and reads with another, which finds the first record on the broker.
fn carries_a_record(options: Options) {
    let log = KafkaLog::open(options.clone()).unwrap();
    log.append(0, Bytes::from_static(b"hello")).unwrap();
    log.close();
    let again = KafkaLog::open(options).unwrap();
    assert_eq!(again.read(0, 0, 100).unwrap()[0].bytes, "hello");
}

fn error(cluster: Cluster) -> OpenError {
    let (answered, answer) = mpsc::channel();
    std::thread::spawn(move || answered.send(KafkaLog::open(fresh(cluster)).err()));
    answer.recv_timeout(SOON).expect("an answer within seconds").expect("it was opened")
}

#[track_caller]
fn refuses(cluster: Cluster, expected: Refusal, says: &str) {
    let error = error(cluster);
    assert!(matches!(&error, OpenError::Refused { refusal, .. } if *refusal == expected), "{error:?}");
    assert!(error.to_string().contains(says), "{error}");
}

fn password(dir: &Path, text: &str) -> Option<PathBuf> {
    let file = dir.join("password");
    std::fs::write(&file, text).unwrap();
    Some(file)
}

/// The page that operators read.
const HOW_TO: &str = include_str!("../../../docs/how-to/connect-to-kafka-securely.md");

/// What its blocks of a language hold.
fn blocks(language: &str) -> Vec<String> {
    let begin = format!("```{language}\n");
    HOW_TO.split(&begin).skip(1).map(|text| text.split("```").next().unwrap().to_owned()).collect()
}

/// What the page tells the server, with the addresses and files of a broker here.
fn as_told(block: &str, here: Cluster) -> Cluster {
    let told: Cluster = Figment::from(Toml::string(&block.replace("kafka_", ""))).extract().unwrap();
    let names = |cluster: &Cluster| {
        let files = [&cluster.ca_file, &cluster.certificate_file, &cluster.key_file, &cluster.password_file];
        (cluster.security, cluster.username.clone(), files.map(Option::is_some))
    };
    assert_eq!(names(&told), names(&here), "{block}");
    here
}

#[test]
fn a_user_with_a_password_is_let_in() {
    carries_a_record(fresh(as_told(&blocks("toml")[0], Broker::started().sasl_tls())));
}

#[test]
fn the_password_may_stand_in_the_environment() {
    let broker = Broker::started();
    if std::env::var(PASSWORD_VARIABLE).is_ok() {
        return carries_a_record(fresh(Cluster { password_file: None, ..broker.sasl_tls() }));
    }
    // Again, in a process that has it.
    let password = std::fs::read_to_string(broker.value("password_file")).unwrap();
    let again = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_password_may_stand_in_the_environment"])
        .env(PASSWORD_VARIABLE, password.trim())
        .output()
        .unwrap();
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stdout));
}

#[test]
fn a_client_with_a_certificate_is_let_in() {
    carries_a_record(fresh(as_told(&blocks("toml")[1], Broker::started().mutual_tls())));
}

#[test]
fn a_wrong_user_or_password_is_refused_at_once() {
    let (broker, dir) = (Broker::started(), tempfile::tempdir().unwrap());
    let wrong = Cluster { password_file: password(dir.path(), "wrong\n"), ..broker.sasl_tls() };
    refuses(wrong.clone(), Refusal::Password, "does not accept username and password");
    let nobody = Cluster { username: Some("nobody".to_owned()), ..broker.sasl_tls() };
    refuses(nobody, Refusal::Password, broker.value("sasl_tls"));
    // A second server that is down changes nothing.
    refuses(
        Cluster { brokers: format!("127.0.0.1:1,{}", wrong.brokers), ..wrong },
        Refusal::Password,
        "invalid credentials",
    );
}

#[test]
fn a_broker_of_another_authority_is_not_trusted() {
    let broker = Broker::started();
    for cluster in [broker.sasl_tls(), broker.mutual_tls()] {
        let other = Cluster { ca_file: broker.file("other_ca_file"), ..cluster.clone() };
        refuses(other, Refusal::Authority, "by no authority of ca_file");
        refuses(Cluster { ca_file: None, ..cluster }, Refusal::Authority, "certificate verify failed");
    }
}

#[test]
fn a_certificate_that_is_missing_or_expired_is_refused() {
    let broker = Broker::started();
    let none = Cluster { certificate_file: None, key_file: None, ..broker.mutual_tls() };
    refuses(none, Refusal::Certificate, "does not accept certificate_file: it is missing, expired,");
    let expired = Cluster {
        certificate_file: broker.file("expired_certificate_file"),
        key_file: broker.file("expired_key_file"),
        ..broker.mutual_tls()
    };
    refuses(expired, Refusal::Certificate, "alert certificate unknown");
    let mixed = error(Cluster { key_file: broker.file("expired_key_file"), ..broker.mutual_tls() });
    assert!(mixed.to_string().contains("key values mismatch"), "{mixed}");
}

#[test]
fn plaintext_leaves_the_machine_only_with_permission() {
    let elsewhere = Cluster::from("127.0.0.1:1, 192.0.2.7:9392");
    let refused = error(elsewhere.clone());
    assert!(matches!(refused, OpenError::Connection(ConnectionError::Plaintext { .. })), "{refused:?}");
    let text = refused.to_string();
    assert!(text.contains("192.0.2.7:9392") && text.contains("insecure_plaintext = true"), "{text}");
    assert!(Cluster { insecure_plaintext: true, ..elsewhere }.connection().is_ok());
}

#[test]
fn a_user_has_the_rights_of_the_how_to_or_hears_what_is_missing() {
    let own = OwnBroker(PORT_OF_RIGHTS);
    let broker = Broker::of_port(Some(own.0));
    let options = Options { topic: "rejoinder.events".to_owned(), ..fresh(broker.sasl_tls()) };
    // From now on rights are needed.
    tool(&own, &["acls", "--add", "--allow-principal", "User:admin", "--operation", "All", "--cluster"]);
    tool(&own, &["acls", "--add", "--allow-principal", "User:admin", "--operation", "All", "--topic", "*"]);
    let Err(error) = KafkaLog::open(options.clone()) else { panic!("it was opened") };
    assert!(matches!(error, OpenError::MayNotCreate { .. }), "{error:?}");
    run(&own, error.to_string().split_once("made with: ").unwrap().1);

    let blocks = blocks("sh").join("").replace("\\\n", " ");
    let commands: Vec<&str> = blocks.lines().filter(|line| line.starts_with("kafka-")).collect();
    let (user, others) = commands.split_at(1);
    let user = user[0].replace("CHANGE-ME", "changed").replace("--entity-name rejoinder", "--entity-name second");
    run(&own, &user);
    for command in others {
        run(&own, &command.replace("User:rejoinder", "User:second"));
    }
    let dir = tempfile::tempdir().unwrap();
    let second = Cluster {
        username: Some("second".to_owned()),
        password_file: password(dir.path(), "changed"),
        ..broker.sasl_tls()
    };
    carries_a_record(Options { cluster: second, ..options });
    // The first user was given nothing.
    let Err(error) = KafkaLog::open(fresh(broker.sasl_tls())) else { panic!("it was opened") };
    assert!(matches!(error, OpenError::MayNotCreate { .. }), "{error:?}");
}
