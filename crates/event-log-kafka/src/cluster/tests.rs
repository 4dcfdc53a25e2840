//! What an operator may write, and what is said of the rest.

use super::*;

/// Files with what they should hold, and none of it.
fn files() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let table = [
        ("ca.pem", "-----BEGIN CERTIFICATE-----\n"),
        ("client.pem", "-----BEGIN CERTIFICATE-----\n"),
        ("client.key", "-----BEGIN PRIVATE KEY-----\n"),
        ("password", "secret\r\n"),
        ("empty", "\n"),
    ];
    table.into_iter().for_each(|(name, text)| std::fs::write(dir.path().join(name), text).unwrap());
    dir
}

fn tls(dir: &Path) -> Cluster {
    Cluster {
        security: Security::Tls,
        ca_file: Some(dir.join("ca.pem")),
        certificate_file: Some(dir.join("client.pem")),
        key_file: Some(dir.join("client.key")),
        ..Cluster::from("kafka.example.org:9093")
    }
}

fn sasl(dir: &Path) -> Cluster {
    Cluster {
        security: Security::SaslTls,
        username: Some("rejoinder".to_owned()),
        password_file: Some(dir.join("password")),
        ..tls(dir)
    }
}

#[test]
fn options_become_properties() {
    let dir = files();
    let config = sasl(dir.path()).connection().unwrap().client();
    let file = |name: &str| dir.path().join(name).display().to_string();
    let table = [
        ("bootstrap.servers", "kafka.example.org:9093".to_owned()),
        ("security.protocol", "sasl_ssl".to_owned()),
        ("ssl.ca.location", file("ca.pem")),
        ("ssl.certificate.location", file("client.pem")),
        ("ssl.key.location", file("client.key")),
        ("sasl.mechanism", "SCRAM-SHA-512".to_owned()),
        ("sasl.username", "rejoinder".to_owned()),
        ("sasl.password", "secret".to_owned()),
    ];
    for (property, expected) in table {
        assert_eq!(config.get(property), Some(expected.as_str()), "{property}");
    }
    assert_eq!(tls(dir.path()).connection().unwrap().client().get("security.protocol"), Some("ssl"));
    assert_eq!(Cluster::default().connection().unwrap().client().get("security.protocol"), None);
}

#[test]
fn properties_add_to_options_and_replace_none() {
    let dir = files();
    let with = |name: &str, value: &str| {
        let properties = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        Cluster { properties, ..sasl(dir.path()) }.connection()
    };
    assert_eq!(with("sasl.mechanism", "PLAIN").unwrap().client().get("sasl.mechanism"), Some("PLAIN"));
    for (name, option) in OPTIONS {
        let Err(error) = with(name, "plaintext") else { panic!("{name} was taken") };
        assert_eq!(error.to_string(), format!("properties: {name} is not taken there; use {option}"));
    }
}

#[test]
fn what_is_wrong_is_named() {
    let dir = files();
    let (at, none) = (|name: &str| Some(dir.path().join(name)), None::<PathBuf>);
    let (tls, sasl) = (tls(dir.path()), sasl(dir.path()));
    let table = [
        (Cluster::from(" , "), "brokers is empty"),
        (Cluster::from("192.0.2.7:9092"), "refused for 192.0.2.7:9092: 192.0.2.7 is not this machine"),
        (Cluster::from("localhost,kafka.invalid:9392"), "brokers: cannot look up kafka.invalid:9392"),
        (Cluster { ca_file: at("gone"), ..tls.clone() }, "ca_file: cannot read"),
        (Cluster { key_file: at("gone"), ..tls.clone() }, "key_file: cannot read"),
        (Cluster { certificate_file: Some(dir.path().to_owned()), ..tls.clone() }, "certificate_file: cannot read"),
        (Cluster { ca_file: at("password"), ..tls.clone() }, "ca_file: there is no CERTIFICATE in PEM form in"),
        (Cluster { key_file: at("client.pem"), ..tls.clone() }, "key_file: there is no PRIVATE KEY in PEM form in"),
        (Cluster { key_file: none.clone(), ..tls.clone() }, "certificate_file needs key_file"),
        (Cluster { certificate_file: none.clone(), ..tls.clone() }, "key_file needs certificate_file"),
        (Cluster { username: None, ..sasl.clone() }, "security = \"sasl_tls\" needs username"),
        (Cluster { password_file: none, ..sasl.clone() }, "name a password_file, or set REJOINDER_KAFKA_PASSWORD"),
        (Cluster { password_file: at("gone"), ..sasl.clone() }, "password_file: cannot read"),
        (Cluster { password_file: at("empty"), ..sasl.clone() }, "is empty"),
        (Cluster { security: Security::Tls, ..sasl.clone() }, "username has no effect with security = \"tls\""),
        (Cluster { security: Security::Plaintext, ..tls.clone() }, "ca_file has no effect"),
        (Cluster { insecure_plaintext: true, ..tls }, "insecure_plaintext has no effect"),
    ];
    for (cluster, expected) in table {
        let Err(error) = cluster.connection() else { panic!("it was taken: {cluster:?}") };
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn options_are_read_and_unknown_ones_refused() {
    let read = serde_json::from_str::<Cluster>;
    let cluster = read(r#"{"brokers": "kafka:9093", "security": "sasl_tls", "username": "rejoinder"}"#).unwrap();
    assert_eq!((cluster.security, cluster.username.as_deref()), (Security::SaslTls, Some("rejoinder")));
    assert_eq!(read("{}").unwrap(), Cluster::default());
    assert!(read(r#"{"password": "secret"}"#).is_err());
    let all = serde_json::to_string(&sasl(files().path())).unwrap();
    assert_eq!(serde_json::to_string(&read(&all).unwrap()).unwrap(), all);
}
