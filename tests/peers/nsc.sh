#!/usr/bin/env bash
# Runs the real nsc beside vstream-jwt on one account. A stale store removes the mappings, verify reports that, apply
# repairs it, and after `nsc pull -A` nsc keeps them. docs/nsc.md describes the results.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap '"$work/vstream-jwt" dev down --folder "$work/dev" --delete >/dev/null 2>&1 || true; rm -rf "$work"' EXIT

go build -o "$work/nsc" github.com/nats-io/nsc/v2
# VSTREAM_JWT names a build of the tool; if it is not set, the script builds one.
if [ -z "${VSTREAM_JWT-}" ]; then
    target=$(cargo metadata --format-version 1 --no-deps --locked | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
    cargo build --quiet --locked
    VSTREAM_JWT=$target/debug/vstream-jwt
fi
cp "$VSTREAM_JWT" "$work/vstream-jwt"

export XDG_CONFIG_HOME=$work/config XDG_DATA_HOME=$work/data NKEYS_PATH=$work/keys NSC_HOME=$work/nsc-home NSC_NO_GIT_IGNORE=true
nsc() {
    # nsc waits for servers for a second, and a busy server may take longer.
    for _ in 1 2 3; do
        "$work/nsc" "$@" >"$work/log" 2>&1 && return
        grep -q 'nats: timeout' "$work/log" || break
    done
    cat "$work/log" >&2
    echo "failed: nsc $*" >&2
    exit 1
}
# Runs vstream-jwt, which must end with this code and print these words.
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

# Puts the deployment into an nsc store.
mkdir "$work/store"
nsc env --store "$work/store"
nsc add operator --url "$work/dev/operator.jwt"
nsc import keys --dir "$work/dev/keys"
nsc edit operator --account-jwt-server-url "$url"
nsc import account --file "$work/dev/servers/west-1/jwt/$system.jwt"
nsc add user --account SYS --name nsc
nsc pull -A

# Contexts that ask nsc for the user's credentials, with the current field name and the older one.
mkdir -p "$XDG_CONFIG_HOME/nats/context"
user="nsc://$(ls "$work/store")/SYS/nsc"
for field in nsc creds; do
    echo "{\"$field\": \"$user\"}" >"$XDG_CONFIG_HOME/nats/context/by-$field.json"
    sed "s|credentials: keys/sys.creds|context: by-$field|" "$work/dev/vstream.yaml" >"$work/dev/by-$field.yaml"
    PATH=$work:$PATH vstream 3 '3 mappings to add' plan --definition "by-$field.yaml"
done
echo "{\"nsc\": \"${user}s\"}" >"$XDG_CONFIG_HOME/nats/context/by-nsc.json"
PATH=$work:$PATH vstream 1 'nsc generate profile' plan --definition by-nsc.yaml

# A definition from the store is valid except for the regions, which come from the example.
vstream 0 'wrote' init from-store --from-nsc "$work/store"
grep -q "key: $NKEYS_PATH/keys/A/" "$work/dev/from-store/vstream.yaml"
vstream 0 'account APP' validate --definition from-store/vstream.yaml
sed -i "/^regions:/,/^\$/d" "$work/dev/from-store/vstream.yaml"
sed -n '/^regions:/,/^$/p' "$work/dev/vstream.yaml" >>"$work/dev/from-store/vstream.yaml"
sed -i 's|write: { max_age: 24h }|write: { num_replicas: 1 }\n        read: { num_replicas: 1 }|' "$work/dev/from-store/vstream.yaml"
vstream 3 '3 mappings to add' plan --definition from-store/vstream.yaml

vstream 0 'nsc pull -A' apply --operator op.nk
nsc push -a APP
vstream 3 'mappings-gone' verify
vstream 0 '3 of 3 servers confirm' apply --operator op.nk
# A change that nsc makes in an outdated store is newer than the token of vstream-jwt, but lacks the mappings.
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

# With `nsc_store` in the definition, vstream-jwt also writes each pushed token to the store. So a push of the whole
# store changes nothing.
accounts=("$work/store"/*/accounts)
definition() {
    sed "s|^version: 1|version: 1\nnsc_store: $1|" "$work/plain.yaml" >"$work/dev/vstream.yaml"
    for name in "${@:2}"; do
        printf '      %s:\n        subjects: [%s.>]\n        write: { num_replicas: 1 }\n        read: { num_replicas: 1 }\n' \
            "$name" "$name" >>"$work/dev/vstream.yaml"
    done
}
# nsc's output must contain these words.
said() { grep -qF -e "$1" "$work/log" || { cat "$work/log" >&2; echo "nsc did not say: $1" >&2; exit 1; }; }
push_all() {
    nsc push -A
    nsc push -P
    said 'nothing to prune'
    vstream 0 'In sync' verify
}
cp "$work/dev/vstream.yaml" "$work/plain.yaml"
definition "$work/store"
vstream 0 'In sync' plan

# A run was stopped before it wrote the store: the next run writes it, with nothing to push and without a key.
rm -r "$accounts"/APP-*
# It does not overwrite another account that has taken the name meanwhile.
nsc add account APP-west
vstream 1 'nsc-store-name-taken' plan
vstream 3 'Rename the other one (`nsc rename account`), or choose another name under `regional_accounts`' verify
rm -r "$accounts/APP-west"
vstream 3 'nsc-store-behind' verify
vstream 3 'nsc-store-behind' plan
vstream 0 'was brought up to date: APP-west, APP-central, APP-east' apply
[ "$(stat -c %a "$accounts/APP-west" "$accounts/APP-west/APP-west.jwt" | xargs)" = '700 600' ]
push_all

definition "$work/store" bar
vstream 0 'was brought up to date: APP' apply --operator op.nk
grep -q 'nsc pull' "$work/log" && { cat "$work/log"; echo 'the store is not behind, and is said to be'; exit 1; }
push_all
nsc edit account APP --tag later
nsc push -a APP
vstream 0 'In sync' verify
nsc describe account APP --raw
vstream 0 'bar.>' keys inspect "$accounts/APP/APP.jwt"

# An edit that was not pushed stops a run before any push, and is shown.
nsc edit account APP --tag unpushed
definition "$work/store" bar baz
vstream 1 '+ nats.tags: "unpushed"' apply --operator op.nk
vstream 1 'nsc-store-newer' plan
vstream 3 'nsc push -a APP' verify
cp "$accounts/APP/APP.jwt" "$work/unpushed.jwt"
sleep 1
nsc pull -A --overwrite-newer
vstream 0 'was brought up to date: APP' apply --operator op.nk
push_all
# The same edit, restored from a copy, is older by now.
cp "$work/unpushed.jwt" "$accounts/APP/APP.jwt"
vstream 1 'nsc-store-differs' plan
vstream 0 'was brought up to date: APP' apply --allow nsc-store-differs
push_all

# vstream-jwt finds an account by its key, whatever name nsc gives it.
nsc rename account APP APPLICATION --OK
nsc push -a APPLICATION
definition "$work/store" bar baz qux
vstream 0 'was brought up to date: APP' apply --operator op.nk
[ ! -e "$accounts/APP" ]
push_all
vstream 0 'was brought up to date: APP' destroy --yes --operator op.nk qux
definition "$work/store" bar baz
push_all

# vstream-jwt never writes to the store of another operator.
mkdir "$work/others"
nsc env --store "$work/others"
nsc add operator elsewhere
definition "$work/others" bar baz
vstream 1 'nsc-store-unusable' apply --operator op.nk

# Ten runs at once, while nsc pulls, edits and pushes: no change is lost.
nsc env --store "$work/store"
runs=()
for i in 0 1 2 3 4 5 6 7 8 9; do
    cp "$work/plain.yaml" "$work/dev/at-once-$i.yaml"
    printf '      s%s:\n        subjects: [s%s.>]\n        write: { num_replicas: 1 }\n        read: { num_replicas: 1 }\n' \
        "$i" "$i" >>"$work/dev/at-once-$i.yaml"
    (cd "$work/dev" && exec "$work/vstream-jwt" apply --definition "at-once-$i.yaml" --operator op.nk --timeout 2m \
        >"$work/run-$i.log" 2>&1) &
    runs+=($!)
done
pushed=0
# Stops when few runs are left: a push after the last run would test nothing.
while [ "$(jobs -rp | wc -l)" -gt 3 ]; do
    nsc pull -A --overwrite-newer
    nsc edit account APPLICATION --tag "at-once-$pushed"
    [ "$(jobs -rp | wc -l)" -gt 3 ] || break
    nsc push -a APPLICATION
    pushed=$((pushed + 1))
    sleep 2
done
for i in "${!runs[@]}"; do
    wait "${runs[$i]}" || { cat "$work/run-$i.log"; echo "run $i of ten failed"; exit 1; }
done
[ "$pushed" -gt 0 ]
nsc pull -A --overwrite-newer
nsc describe account APPLICATION --raw
accounts=("$work/store"/*/accounts)
(cd "$work/dev" && "$work/vstream-jwt" keys inspect "$accounts/APPLICATION/APPLICATION.jwt") >"$work/all"
for i in 0 1 2 3 4 5 6 7 8 9; do
    grep -qF "s$i.>" "$work/all" || { cat "$work/all"; echo "the mapping of s$i is lost"; exit 1; }
    vstream 0 'In sync' verify --definition "at-once-$i.yaml"
done
for ((i = 0; i < pushed; i++)); do
    grep -qF "at-once-$i" "$work/all" || { cat "$work/all"; echo "nsc's tag at-once-$i is lost"; exit 1; }
done
echo 'nsc and vstream-jwt: each sees and keeps what the other does; '"$pushed pushes between ten runs"
