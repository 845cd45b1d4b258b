# Everyday commands: `just` lists them. Each is one or two plain commands, so you can also type them without just.

# List the commands.
default:
    @just --list

# Type-check everything.
check:
    cargo check --all-targets --locked

# Format and lint, as the gate does.
lint:
    cargo fmt --all -- --check
    cargo clippy --all-targets --locked -- -D warnings

# Run all tests.
test:
    cargo test --locked

# Run the tests whose path contains NAME, e.g. `just test-one joins::`.
test-one NAME:
    cargo test --locked --test engine {{NAME}}

# Run the tests of one crate, e.g. `just test-crate shuffle format::`.
test-crate CRATE *NAME:
    cargo test --locked -p emberline-{{CRATE}} {{NAME}}

# Build the documentation and open it.
doc:
    cargo doc --no-deps --open

# Run one bench at laptop size, e.g. `just bench join --full`.
bench NAME *OPTIONS:
    cargo bench --bench {{NAME}} -- {{OPTIONS}}

# Fuzz one target for SECONDS (frame_reader, codec, index, manifest). Needs nightly and cargo-fuzz.
fuzz TARGET SECONDS="600":
    cargo +nightly fuzz run {{TARGET}} -- -max_total_time={{SECONDS}}

# Accept the compiler messages of tests/ui as they are now. Read the diff like prose.
ui-bless:
    TRYBUILD=overwrite cargo test --locked --test ui

# Check licenses, bans, sources and advisories of dependencies. Needs cargo-deny; advisories need a network.
deny:
    cargo deny check

# The gate.
gate:
    .ci/run

# What is too long for the gate: all sections, or the named ones.
nightly *SECTIONS:
    .ci/nightly {{SECTIONS}}
