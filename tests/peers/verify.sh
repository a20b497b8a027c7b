#!/usr/bin/env bash
# Go's jwt library decodes, validates and compares what vstream-jwt makes of the fixtures and of tokens minted just now,
# and reads what vstream-jwt reads. The list of its fields is the one that is checked in.
set -euo pipefail
cd "$(dirname "$0")"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
mkdir "$out/minted" "$out/listed"
go run ./mint "$out/minted"
VSTREAM_TOKENS=$out/minted VSTREAM_INTEROP_OUT=$out cargo test --quiet --locked --all-features --test it interop::
go vet ./...
go run ./verify ../fixtures/tokens "$out"
# With --strict also thousands of altered tokens, each read by both.
if [ "${1-}" = --strict ]; then
    go run ./strict ../fixtures/claims-fields.json "$out/strict.txt"
fi
go run ./fields "$out/listed"
diff "$out/listed/claims-fields.json" ../fixtures/claims-fields.json
diff "$out/listed/go-fold.txt" ../fixtures/go-fold.txt
