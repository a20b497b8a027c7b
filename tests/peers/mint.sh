#!/usr/bin/env bash
# Makes the fixtures of tests/fixtures/tokens again, with new keys. nsc keeps its keys and its store in a folder that
# the script removes at the end.
set -euo pipefail
cd "$(dirname "$0")"
out=$(cd ../fixtures/tokens && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

go run ./mint "$out"

go build -o "$work/nsc" github.com/nats-io/nsc/v2
export XDG_CONFIG_HOME=$work/config XDG_DATA_HOME=$work/data NKEYS_PATH=$work/keys NSC_HOME=$work/nsc-home NSC_NO_GIT_IGNORE=true
nsc() { "$work/nsc" "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; return 1; }; }
nsc init --name NSC --dir "$work/store"
nsc add operator --name OPS --generate-signing-key --sys
nsc edit operator --require-signing-keys --account-jwt-server-url nats://127.0.0.1:4222
nsc add account --name EXPORTER
nsc edit account --name EXPORTER --sk generate
nsc add export --account EXPORTER --name ticks --subject 'ticks.>'
nsc add export --account EXPORTER --name private --subject 'private.*' --service --private --response-type Stream
nsc add account --name APP
nsc edit account --name APP --sk generate --tag team:a --description 'made by nsc'
nsc edit account --name APP --js-disable
nsc edit account --name APP --js-tier 1 --js-disk-storage 10G --js-streams 50 --js-consumer -1
nsc edit account --name APP --js-tier 3 --js-disk-storage 1T --js-mem-storage 1G --js-streams -1 --js-consumer -1 --js-max-bytes-required
nsc edit account --name APP --conns 1000 --payload 1M
nsc edit signing-key --account APP --sk generate --role provision --allow-pub '$JS.API.>' --allow-sub '_INBOX.>'
nsc add mapping --account APP --from 'orders.>' --to 'orders.west.>' --cluster west
nsc add mapping --account APP --from 'orders.>' --to 'orders.east.>' --cluster east
nsc add mapping --account APP --from canary --to canary.v2 --weight 10
exporter=$("$work/nsc" describe account EXPORTER --field sub 2>/dev/null | tr -d '"\n')
app=$("$work/nsc" describe account APP --field sub 2>/dev/null | tr -d '"\n')
nsc add import --account APP --src-account "$exporter" --remote-subject 'ticks.>' --local-subject 'in.ticks.>'
nsc generate activation --account EXPORTER --subject 'private.*' --target-account "$app" --output-file "$work/activation.jwt"
nsc add import --account APP --token "$work/activation.jwt" --local-subject 'mine.$1'
nsc add export --account APP --name svc --subject 'svc.>' --service
nsc revocations add-user --account APP --user-public-key '*' --at 1600000000
nsc add user --account APP --name worker --allow-pub 'orders.>,$JS.API.>' --deny-pub '$VSTREAM.>' --allow-sub '_INBOX.>' \
    --allow-pub-response=5 --response-ttl 2s --source-network 10.0.0.0/8 --tag team:a
nsc add user --account APP --name scoped -K provision
for account in APP EXPORTER; do "$work/nsc" describe account "$account" --raw --output-file "$work/$account.jwt"; done
"$work/nsc" describe operator OPS --raw --output-file "$work/operator.jwt"
lower() { tr '[:upper:]' '[:lower:]'; }
for account in APP EXPORTER; do grep -oE 'eyJ[A-Za-z0-9_.-]+' "$work/$account.jwt" >"$out/nsc-account-$(lower <<<"$account").jwt"; done
for user in worker scoped; do "$work/nsc" describe user --account APP --name "$user" --raw --output-file "$work/user-$user.jwt"; done
for token in operator user-worker user-scoped activation; do
    grep -oE 'eyJ[A-Za-z0-9_.-]+' "$work/$token.jwt" >"$out/nsc-$token.jwt"
done
