# The commands of daily work; CONTRIBUTING.md says when to run which. All use the same features, so that dependencies are
# built once.

# List these commands
default:
    @just --list

# Build the command
build:
    cargo build --all-features

# Run unit tests, all or those of a module: just unit plan::streams
unit *filters:
    cargo test --all-features --lib -- {{filters}}

# Run integration tests, all or those of a module: just it cli:: supercluster::flow
it *filters:
    cargo test --all-features --test it -- {{filters}}

# Run all tests
test:
    cargo test --all-features

# Check format and lints
lint:
    cargo fmt --check
    cargo clippy --all-targets --all-features --locked -- -D warnings

# Run what decides whether a change lands
ci:
    .ci/run

# Run what takes hours, on all versions of nats-server or on the given ones
nightly *versions:
    scripts/nightly {{versions}}

# Build the documentation of the crate
docs:
    RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --all-features --locked

# Write the generated parts of docs/
update-docs:
    VSTREAM_UPDATE=1 cargo test --all-features --test it -- cli::docs cli::definition

# Fuzz for SECONDS each, all targets or the given ones: just fuzz 600 token
fuzz seconds="60" *targets:
    fuzz/run {{seconds}} {{targets}}
