#!/usr/bin/env bash
# Go's jwt library decodes, validates and compares the tokens that vstream-jwt makes from the fixtures and from fresh
# tokens. It also reads all tokens that vstream-jwt reads. The list of its fields must match the checked-in one.
set -euo pipefail
cd "$(dirname "$0")"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
mkdir "$out/minted" "$out/listed"
go run ./mint "$out/minted"
VSTREAM_TOKENS=$out/minted VSTREAM_INTEROP_OUT=$out cargo test --quiet --locked --all-features --test it interop::
go vet ./...
go run ./verify ../fixtures/tokens "$out"
# With --strict, both also read thousands of altered tokens.
if [ "${1-}" = --strict ]; then
    go run ./strict ../fixtures/claims-fields.json "$out/strict.txt"
fi
go run ./fields "$out/listed"
diff "$out/listed/claims-fields.json" ../fixtures/claims-fields.json
diff "$out/listed/go-fold.txt" ../fixtures/go-fold.txt
