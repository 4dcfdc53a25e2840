#!/usr/bin/env bash
# A single Apache Kafka broker on loopback, without containers. Its jars come from Maven Central once;
# they, its data and its keys lie outside the checkout. REJOINDER_KAFKA_PORT gives a broker of its own,
# which needs the four ports from there on: plaintext, controller, mutual TLS, SASL over TLS.
set -euo pipefail
cd "$(dirname "$0")/.."

usage="kafka.sh COMMAND
  start         a new and empty broker, unless one runs; says where it listens without TLS
  stop          stops it
  kill          kills it, as a crash does
  restart       starts it with the data that it has; stops it before, if it runs
  show          its addresses, process, keys and user, as key=value
  tool NAME …   what kafka-NAME.sh of a distribution does: acls, configs, features, groups, topics
  with COMMAND  runs a command beside a broker; stops it afterwards if none ran before"

home="${XDG_CACHE_HOME:-$HOME/.cache}/rejoinder/kafka"
port="${REJOINDER_KAFKA_PORT:-9392}"
address="127.0.0.1:$port"
broker="$home/$port"
# One set of keys for all brokers of this machine.
tls="$home/tls"
username=rejoinder

# The one that benchmarks use may take more.
heap=512m
[ "$port" != 9392 ] || heap=1g

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

answers() { listens "$port" && listens $((port + 2)) && listens $((port + 3)); }

need() {
    if ! command -v "$1" >/dev/null; then
        if [ "$(id -u)" != 0 ]; then
            echo "run this once, then again what you ran: sudo apt-get install -y $2" >&2
            exit 1
        fi
        apt-get update -q >&2
        DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$2" >&2
    fi
}

jars() {
    need java openjdk-17-jre-headless
    if [ ! -e "$home/lib.of" ] || ! cmp -s deploy/kafka/pom.xml "$home/lib.of"; then
        need mvn maven
        rm -rf "$home/lib"
        mvn -q -B -f deploy/kafka/pom.xml dependency:copy-dependencies -DoutputDirectory="$home/lib" >&2
        cp deploy/kafka/pom.xml "$home/lib.of"
    fi
}

# certificate NAME EXTENSIONS [FROM UNTIL]: a key and a certificate, by the authority of ./ca.
certificate() {
    openssl req -newkey rsa:2048 -nodes -subj "/CN=$1" -keyout "$1.key" -out "$1.csr" 2>/dev/null
    printf '%s\n' "$2" >"$1.ext"
    mkdir issued
    : >issued/index
    openssl ca -batch -notext -config authority.cnf -extfile "$1.ext" -in "$1.csr" -out "$1.pem" \
        -startdate "${3:-20200101000000Z}" -enddate "${4:-20491231000000Z}" 2>/dev/null
    rm -r issued "$1.csr" "$1.ext"
}

authority() {
    openssl req -x509 -newkey rsa:2048 -nodes -subj "/CN=$1" -days 9000 -keyout "$1.key" -out "$1.pem" 2>/dev/null
}

# Keys of development: an authority, a broker, a client, and what a broker must refuse.
keys() {
    [ ! -e "$tls/client.pem" ] || return 0
    need openssl openssl
    rm -rf "$tls.new"
    mkdir -m 700 "$tls.new"
    (
        cd "$tls.new"
        umask 077
        cat >authority.cnf <<'END'
[ca]
default_ca = authority
[authority]
database = issued/index
new_certs_dir = issued
rand_serial = yes
certificate = ca.pem
private_key = ca.key
default_md = sha256
policy = any
[any]
commonName = supplied
END
        authority ca
        authority other-ca
        certificate broker 'subjectAltName=IP:127.0.0.1,DNS:localhost'
        certificate client 'extendedKeyUsage=clientAuth'
        certificate expired 'extendedKeyUsage=clientAuth' 20200101000000Z 20200102000000Z
        cat broker.key broker.pem >broker.keystore.pem
        openssl rand -hex 16 >password
    )
    mv "$tls.new" "$tls"
}

launch() {
    nohup java "-Xmx$heap" -cp "$home/lib/*" kafka.Kafka "$broker/server.properties" \
        >>"$broker/log" 2>&1 </dev/null 9>&- &
    echo $! >"$broker/pid"
    for _ in $(seq 300); do
        if answers; then
            echo "$address"
            return
        fi
        kill -0 "$(cat "$broker/pid")" 2>/dev/null || break
        sleep 0.2
    done
    echo "Kafka did not start; its log is $broker/log, which ends with:" >&2
    tail -20 "$broker/log" >&2
    exit 1
}

# A number that is left over may be another process by now.
runs() {
    [ -e "$broker/pid" ] && tr '\0' ' ' 2>/dev/null <"/proc/$(cat "$broker/pid")/cmdline" | grep -q "$broker/server.properties"
}

start() {
    if listens "$port"; then
        echo "$address"
        return
    fi
    jars
    keys
    # Every start begins with an empty broker: tests make the topics that they need.
    rm -rf "$broker/data"
    mkdir -p "$broker/data"
    sed -e "s|@DATA@|$broker/data|" -e "s|@TLS@|$tls|" -e "s|@PORT@|$port|" -e "s|@CONTROLLER@|$((port + 1))|" \
        -e "s|@MUTUAL_TLS@|$((port + 2))|" -e "s|@SASL_TLS@|$((port + 3))|" \
        deploy/kafka/server.properties >"$broker/server.properties"
    id=$(java -cp "$home/lib/*" kafka.tools.StorageTool random-uuid 2>/dev/null | tail -1)
    java -cp "$home/lib/*" kafka.tools.StorageTool format -t "$id" -c "$broker/server.properties" \
        --add-scram "SCRAM-SHA-512=[name=$username,password=$(cat "$tls/password")]" >"$broker/log" 2>&1
    launch
}

# finish SIGNAL: returns when the process is gone, by force after half a minute.
finish() {
    if runs; then
        kill "-$1" "$(cat "$broker/pid")"
        for _ in $(seq 300); do
            runs || break
            sleep 0.1
        done
        if runs; then kill -KILL "$(cat "$broker/pid")"; fi
    fi
    rm -f "$broker/pid"
}

restart() {
    if [ ! -e "$broker/data/meta.properties" ]; then
        echo "there is no broker of port $port to start again: kafka.sh start" >&2
        exit 1
    fi
    finish TERM
    launch
}

show() {
    cat <<END
plaintext=$address
mutual_tls=127.0.0.1:$((port + 2))
sasl_tls=127.0.0.1:$((port + 3))
pid=$(cat "$broker/pid" 2>/dev/null || true)
username=$username
password_file=$tls/password
ca_file=$tls/ca.pem
other_ca_file=$tls/other-ca.pem
certificate_file=$tls/client.pem
key_file=$tls/client.key
expired_certificate_file=$tls/expired.pem
expired_key_file=$tls/expired.key
END
}

tool() {
    case "$1" in
        acls) class=org.apache.kafka.tools.AclCommand ;;
        configs) class=kafka.admin.ConfigCommand ;;
        features) class=org.apache.kafka.tools.FeatureCommand ;;
        groups) class=org.apache.kafka.tools.consumer.group.ConsumerGroupCommand ;;
        topics) class=org.apache.kafka.tools.TopicCommand ;;
        *)
            echo "there is no tool $1: acls, configs, features, groups, topics" >&2
            exit 2
            ;;
    esac
    exec java -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$home/lib/*" \
        "$class" --bootstrap-server "$address" "${@:2}"
}

# Whoever changes a broker, or the keys, waits for others who do.
alone() {
    mkdir -p "$broker"
    exec 9>"$home/lock"
    flock 9
    "$@"
    exec 9>&-
}

case "${1:-}" in
    start | restart) alone "$1" ;;
    stop) alone finish TERM ;;
    kill) alone finish KILL ;;
    show) show ;;
    tool) tool "${2:-}" "${@:3}" ;;
    with)
        shift
        if ! listens "$port"; then
            trap 'alone finish TERM' EXIT
            alone start >&2
        fi
        "$@"
        ;;
    *)
        echo "$usage" >&2
        exit 2
        ;;
esac
