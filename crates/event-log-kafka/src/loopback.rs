//! Whether an address is on this machine: without TLS, nothing goes elsewhere.

use std::net::ToSocketAddrs as _;

use crate::connection::ConnectionError;

/// Port of a server that names none.
const DEFAULT_PORT: u16 = 9092;

/// Host and port of a server as librdkafka takes it: `[PROTOCOL://]HOST[:PORT]`.
fn parts(server: &str) -> (&str, u16) {
    let address = server.split_once("://").map_or(server, |(_, address)| address);
    // The colons of `::1` and `[::1]` are none before a port.
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if host.ends_with(']') || !host.contains(':') => (host, port.parse().ok()),
        _ => (address, None),
    };
    (host.trim_start_matches('[').trim_end_matches(']'), port.unwrap_or(DEFAULT_PORT))
}

/// Refuses a server that has any address off this machine.
pub(crate) fn check(server: &str) -> Result<(), ConnectionError> {
    let (host, port) = parts(server);
    check_host(host, port)
}

/// The same of a host by itself.
pub(crate) fn check_host(host: &str, port: u16) -> Result<(), ConnectionError> {
    let server = || format!("{host}:{port}");
    let lookup = |source| ConnectionError::Lookup { server: server(), source };
    let mut addresses = (host, port).to_socket_addrs().map_err(lookup)?;
    match addresses.find(|address| !address.ip().to_canonical().is_loopback()) {
        Some(address) => Err(ConnectionError::Plaintext { server: server(), address: address.ip() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_read_as_librdkafka_reads_it() {
        let table = [
            ("kafka", ("kafka", 9092)),
            ("kafka:9392", ("kafka", 9392)),
            ("PLAINTEXT://kafka:9392", ("kafka", 9392)),
            ("[::1]:9392", ("::1", 9392)),
            ("[::1]", ("::1", 9092)),
            ("::1", ("::1", 9092)),
        ];
        for (server, expected) in table {
            assert_eq!(parts(server), expected, "{server}");
        }
    }

    #[test]
    fn only_this_machine_is_this_machine() {
        for here in ["127.0.0.1:9392", "127.8.7.6", "localhost:1", "[::1]:9392", "[::ffff:127.0.0.1]:9392"] {
            assert!(check(here).is_ok(), "{here}");
        }
        for elsewhere in ["0.0.0.0:9392", "192.0.2.7:9392", "[2001:db8::1]:9392", "[::ffff:192.0.2.7]:9392"] {
            let error = check(elsewhere).err();
            assert!(matches!(error, Some(ConnectionError::Plaintext { .. })), "{elsewhere}: {error:?}");
        }
    }

    #[test]
    fn a_name_that_nobody_knows_is_refused() {
        let error = check("kafka.invalid:9392").err();
        assert!(matches!(error, Some(ConnectionError::Lookup { .. })), "{error:?}");
    }
}
