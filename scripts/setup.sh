#!/usr/bin/env bash
# Installs what the build needs and the machine lacks. Changes nothing when all is there.
set -euo pipefail

if ! command -v cargo >/dev/null && [ -f "$HOME/.cargo/env" ]; then
    # shellcheck disable=SC1091
    . "$HOME/.cargo/env"
fi
if ! command -v cargo >/dev/null; then
    echo "Rust is missing. Install it with: curl --proto '=https' -sSf https://sh.rustup.rs | sh" >&2
    exit 1
fi

missing=()
have() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }
need() {
    if ! have "$1"; then
        missing+=("$1")
        echo "missing: $1 ($2)" >&2
    fi
}
if command -v dpkg-query >/dev/null; then
    need build-essential "compiles RocksDB and zstd"
    need libclang-dev "reads RocksDB's headers"
    need libssl-dev "lets librdkafka speak TLS"
    need pkg-config "finds it"
    need zlib1g-dev "compresses what goes to Kafka"
    need ccache "keeps compiled C++ between checkouts"
fi
if [ "${#missing[@]}" -gt 0 ]; then
    install="apt-get install -y ${missing[*]}"
    if [ "$(id -u)" = 0 ]; then
        apt-get update -q >&2
        DEBIAN_FRONTEND=noninteractive $install >&2
    else
        echo "run this once, then again what you ran: sudo $install" >&2
        exit 1
    fi
fi
