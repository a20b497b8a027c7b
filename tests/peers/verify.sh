#!/usr/bin/env bash
# Go's jwt library decodes, validates and compares what vstream-jwt makes of the fixtures.
set -euo pipefail
cd "$(dirname "$0")"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
VSTREAM_INTEROP_OUT=$out cargo test --quiet --locked --all-features --test it interop::
go vet ./...
go run ./verify ../fixtures/tokens "$out"
