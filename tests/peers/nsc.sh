#!/usr/bin/env bash
# The real nsc beside vstream-jwt on one account: a stale store takes the mappings away, verify names it, apply repairs
# it, and after `nsc pull -A` nsc keeps them. What it shows is told in docs/nsc.md.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap '"$work/vstream-jwt" dev down --folder "$work/dev" --delete >/dev/null 2>&1 || true; rm -rf "$work"' EXIT

go build -o "$work/nsc" github.com/nats-io/nsc/v2
target=$(cargo metadata --format-version 1 --no-deps --locked | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
cargo build --quiet --locked
cp "$target/debug/vstream-jwt" "$work/"

export XDG_CONFIG_HOME=$work/config XDG_DATA_HOME=$work/data NKEYS_PATH=$work/keys NSC_HOME=$work/nsc-home NSC_NO_GIT_IGNORE=true
nsc() { "$work/nsc" "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; echo "failed: nsc $*" >&2; exit 1; }; }
# Runs vstream-jwt; it has to end with the code and to say the words.
vstream() {
    local code=$1 words=$2 ended=0
    shift 2
    (cd "$work/dev" && "$work/vstream-jwt" "$@") >"$work/log" 2>&1 || ended=$?
    if [ "$ended" != "$code" ] || ! grep -qF -e "$words" "$work/log"; then
        cat "$work/log" >&2
        echo "vstream-jwt $* ended $ended, not $code, or did not say: $words" >&2
        exit 1
    fi
}

"$work/vstream-jwt" dev up --folder "$work/dev" --servers 1 >/dev/null
url=$(grep -o 'nats://127[^],]*' "$work/dev/vstream.yaml" | head -1)
system=$(sed -n 's/.*"system_account_id": *"\([^"]*\)".*/\1/p' "$work/dev/super-cluster.json")

# The deployment in an nsc store.
mkdir "$work/store"
nsc env --store "$work/store"
nsc add operator --url "$work/dev/operator.jwt"
nsc import keys --dir "$work/dev/keys"
nsc edit operator --account-jwt-server-url "$url"
nsc import account --file "$work/dev/servers/west-1/jwt/$system.jwt"
nsc add user --account SYS --name nsc
nsc pull -A

vstream 0 'nsc pull -A' apply --operator op.nk
nsc push -a APP
vstream 3 'mappings-gone' verify
vstream 0 '3 of 3 servers confirm' apply --operator op.nk
# A change by nsc from a store that is behind is newer than what vstream-jwt pushed, and lacks the mappings all the same.
nsc edit account APP --tag stale
nsc push -a APP
vstream 3 'mappings-gone' verify
vstream 0 '3 of 3 servers confirm' apply --operator op.nk

nsc pull -A
nsc push -a APP
vstream 0 'In sync' verify
nsc edit account APP --tag fresh
nsc push -a APP
vstream 0 'In sync' verify
vstream 0 'nothing was pushed' apply --operator op.nk
echo 'nsc and vstream-jwt: each sees and keeps what the other does'
