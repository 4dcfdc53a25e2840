#!/usr/bin/env bash
# A single Apache Kafka broker on loopback, without containers: `kafka.sh start|stop`, or
# `kafka.sh with COMMAND…`, which starts one if none runs and stops it after the command.
# Its jars come from Maven Central once; both they and its data lie outside the checkout.
set -euo pipefail
cd "$(dirname "$0")/.."

home="${XDG_CACHE_HOME:-$HOME/.cache}/rejoinder/kafka"
port="${REJOINDER_KAFKA_PORT:-9392}"
controller=$((port + 1))
address="127.0.0.1:$port"

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }

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

start() {
    if answers; then
        echo "$address"
        return
    fi
    need java openjdk-17-jre-headless
    mkdir -p "$home"
    if [ ! -e "$home/lib.of" ] || ! cmp -s deploy/kafka/pom.xml "$home/lib.of"; then
        need mvn maven
        rm -rf "$home/lib"
        mvn -q -B -f deploy/kafka/pom.xml dependency:copy-dependencies -DoutputDirectory="$home/lib" >&2
        cp deploy/kafka/pom.xml "$home/lib.of"
    fi
    # Every start begins with an empty broker: tests make the topics that they need.
    rm -rf "$home/data"
    mkdir -p "$home/data"
    sed -e "s|@DATA@|$home/data|" -e "s|@PORT@|$port|" -e "s|@CONTROLLER@|$controller|" \
        deploy/kafka/server.properties >"$home/server.properties"
    id=$(java -cp "$home/lib/*" kafka.tools.StorageTool random-uuid 2>/dev/null | tail -1)
    java -cp "$home/lib/*" kafka.tools.StorageTool format -t "$id" -c "$home/server.properties" >"$home/log" 2>&1
    nohup java -Xmx1g -cp "$home/lib/*" kafka.Kafka "$home/server.properties" >>"$home/log" 2>&1 </dev/null &
    echo $! >"$home/pid"
    for _ in $(seq 300); do
        if answers; then
            echo "$address"
            return
        fi
        kill -0 "$(cat "$home/pid")" 2>/dev/null || break
        sleep 0.2
    done
    echo "Kafka did not start; its log is $home/log, which ends with:" >&2
    tail -20 "$home/log" >&2
    exit 1
}

stop() {
    if [ -e "$home/pid" ]; then
        kill "$(cat "$home/pid")" 2>/dev/null || true
        rm -f "$home/pid"
    fi
}

case "${1:-}" in
    start) start ;;
    stop) stop ;;
    with)
        shift
        if ! answers; then
            trap stop EXIT
            start >&2
        fi
        "$@"
        ;;
    *)
        echo "kafka.sh start | stop | with COMMAND…" >&2
        exit 2
        ;;
esac
