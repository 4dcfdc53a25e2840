# The one front door: people and CI call the same targets.

SHELL := /bin/bash
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/rejoinder
export CARGO_TARGET_DIR ?= $(CACHE)/target
export CCACHE_DIR ?= $(CACHE)/ccache
# RocksDB takes long to compile: the compiler cache serves every checkout and both profiles.
export CC ?= ccache gcc
export CXX ?= ccache g++
ifeq ($(origin CC),default)
CC := ccache gcc
endif
ifeq ($(origin CXX),default)
CXX := ccache g++
endif

# Where rustup puts cargo, for shells that have not been told yet.
export PATH := $(HOME)/.cargo/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup build demo bench test kafka kafka-stop lint golden soak clean

help: ## shows this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: ## installs what a bare Debian or Ubuntu lacks
	@scripts/setup.sh

build: setup ## builds the released binary
	@cargo build --release -p rejoinder

demo: build ## shows the whole product in a minute: make demo ARGS="--for 20s"
	@$(CARGO_TARGET_DIR)/release/rejoinder demo $(ARGS)

bench: setup ## measures beside the machine's limits: make bench ARGS="--quick"
	@cargo build --release -p rejoinder -p rejoinder-benches
	@$(CARGO_TARGET_DIR)/release/rejoinder-bench $(ARGS)

test: setup ## runs all tests
	cargo build --workspace --all-targets
	scripts/kafka.sh with cargo test --workspace

kafka: ## starts an Apache Kafka broker for development, and says where it listens
	@scripts/kafka.sh start

kafka-stop: ## stops it, and forgets its data
	@scripts/kafka.sh stop

lint: setup ## checks formatting and lints
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

golden: setup ## rewrites the generated parts of docs/reference, for review
	cargo build --workspace --all-targets
	REJOINDER_GOLDEN=1 cargo test --workspace --test reference --bin rejoinder -- listed lists code

soak: setup ## runs for hours what CI runs in short: laws, model checks, simulation, kills, power cuts
	cargo build --release --workspace --all-targets
	PROPTEST_CASES=1000000 cargo test --release -p rejoinder-threading-core -p rejoinder-sla-core laws
	REJOINDER_MODEL_DEPTH=1 cargo test --release -p rejoinder-event-log --test ownership --test firing -- --test-threads 1
	REJOINDER_SIMULATION_SEEDS=10000 cargo test --release -p rejoinder-integration-tests --test simulation -- --nocapture
	REJOINDER_CRASH_ROUNDS=1000 cargo test --release -p rejoinder-integration-tests --test crash
	REJOINDER_CRASH_ROUNDS=100 cargo test --release -p rejoinder-public-topics
	REJOINDER_POWER_CUTS=200 cargo test --release -p rejoinder-integration-tests --test power_cut
	REJOINDER_SOAK=1 cargo test --release -p rejoinder-integration-tests --test corpora

clean: ## removes the build products, not the compiler cache
	cargo clean
