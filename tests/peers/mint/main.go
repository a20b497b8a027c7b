// Mints the token fixtures of tests/fixtures/tokens with Go's own jwt library. Every run makes new keys; the seeds are
// thrown away, only tokens are written.
package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

var folder string

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func key(prefix nkeys.PrefixByte) (nkeys.KeyPair, string) {
	pair, err := nkeys.CreatePair(prefix)
	check(err)
	public, err := pair.PublicKey()
	check(err)
	return pair, public
}

func public(prefix nkeys.PrefixByte) string {
	_, public := key(prefix)
	return public
}

func write(name, token string) {
	check(os.WriteFile(filepath.Join(folder, name+".jwt"), []byte(token+"\n"), 0o644))
}

func encode(name string, claims jwt.Claims, signer nkeys.KeyPair) string {
	vr := jwt.CreateValidationResults()
	claims.Validate(vr)
	if vr.IsBlocking(true) {
		log.Fatalf("%s: %v", name, vr.Issues[0].Description)
	}
	token, err := claims.Encode(signer)
	check(err)
	write(name, token)
	return token
}

// raw signs any text as the claims of a token, whatever it says.
func raw(name, header, body string, signer nkeys.KeyPair, wholeMessage bool) {
	enc := base64.RawURLEncoding.EncodeToString
	payload := enc([]byte(body))
	message := enc([]byte(header)) + "." + payload
	signed := payload
	if wholeMessage {
		signed = message
	}
	signature, err := signer.Sign([]byte(signed))
	check(err)
	write(name, message+"."+enc(signature))
}

func main() {
	folder = os.Args[1]
	operator, operatorKey := key(nkeys.PrefixByteOperator)
	signing, signingKey := key(nkeys.PrefixByteOperator)
	account, accountKey := key(nkeys.PrefixByteAccount)
	exporter, exporterKey := key(nkeys.PrefixByteAccount)

	op := jwt.NewOperatorClaims(operatorKey)
	op.Name = "OP"
	op.SigningKeys.Add(signingKey)
	op.SystemAccount = public(nkeys.PrefixByteAccount)
	op.AccountServerURL = "nats://localhost:4222"
	op.OperatorServiceURLs.Add("nats://localhost:4222")
	encode("operator", op, operator)
	op.StrictSigningKeyUsage = true
	encode("operator-strict", op, operator)

	plain := jwt.NewAccountClaims(public(nkeys.PrefixByteAccount))
	plain.Name = "PLAIN"
	encode("account-plain", plain, operator)

	encode("account-rich", rich(accountKey, exporter, exporterKey), signing)

	tiers := jwt.NewAccountClaims(public(nkeys.PrefixByteAccount))
	tiers.Name = "TIERS"
	tiers.Limits.JetStreamTieredLimits["R1"] = jwt.JetStreamLimits{DiskStorage: 1 << 40, MemoryStorage: -1, Streams: 100, Consumer: -1}
	tiers.Limits.JetStreamTieredLimits["R3"] = jwt.JetStreamLimits{DiskStorage: 9_007_199_254_740_993, Streams: -1, Consumer: 2000, MaxAckPending: 1000, DiskMaxStreamBytes: 1 << 33, MaxBytesRequired: true}
	encode("account-tiers", tiers, operator)

	selfSigned := jwt.NewAccountClaims(accountKey)
	selfSigned.Limits = jwt.OperatorLimits{}
	encode("account-self-signed", selfSigned, account)

	user := jwt.NewUserClaims(public(nkeys.PrefixByteUser))
	user.Name = "user"
	user.Expires = time.Now().Add(time.Hour).Unix()
	user.Permissions.Pub.Allow.Add("foo.>")
	user.Permissions.Sub.Deny.Add("$SYS.>")
	encode("user", user, account)

	unknown(operator, operatorKey)
	every(operator, account)
}

func rich(accountKey string, exporter nkeys.KeyPair, exporterKey string) *jwt.AccountClaims {
	c := jwt.NewAccountClaims(accountKey)
	c.Name = "RICH <&> Ünïcode"
	c.Description = "everything that nats-io/jwt has"
	c.InfoURL = "https://example.com/rich"
	c.Tags.Add("env:prod", "team:a")
	c.Expires = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	c.NotBefore = 1
	c.Limits.Payload = 1 << 20
	c.Limits.Subs = 1000
	c.Limits.Conn = 500
	c.Limits.DisallowBearer = true
	c.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: 9_223_372_036_854_775_807, Streams: 200, Consumer: -1, MaxAckPending: 5000, MemoryMaxStreamBytes: 1 << 30, DiskMaxStreamBytes: 1 << 34, MaxBytesRequired: true}
	c.AddMapping("orders.>", jwt.WeightedMapping{Subject: "orders.west.>", Cluster: "west"}, jwt.WeightedMapping{Subject: "orders.east.>", Cluster: "east"})
	c.AddMapping("canary", jwt.WeightedMapping{Subject: "canary.v1", Weight: 90}, jwt.WeightedMapping{Subject: "canary.v2", Weight: 10})
	c.AddMapping("bar.*.*", jwt.WeightedMapping{Subject: "baz.{{wildcard(2)}}.{{partition(10,1)}}"})
	c.SigningKeys.Add(public(nkeys.PrefixByteAccount))
	scope := jwt.NewUserScope()
	scope.Key = public(nkeys.PrefixByteAccount)
	scope.Role = "provision"
	scope.Description = "may use JetStream only"
	scope.Template.Pub.Allow.Add("$JS.API.>")
	scope.Template.Pub.Deny.Add("$JS.API.STREAM.DELETE.>")
	scope.Template.Sub.Allow.Add("_INBOX.>")
	scope.Template.Resp = &jwt.ResponsePermission{MaxMsgs: 1, Expires: time.Minute}
	scope.Template.AllowedConnectionTypes.Add(jwt.ConnectionTypeStandard)
	c.SigningKeys.AddScopedSigner(scope)
	c.Revoke(public(nkeys.PrefixByteUser))
	c.RevokeAt("*", time.Unix(1_600_000_000, 0))
	c.DefaultPermissions.Pub.Deny.Add("secret.>")
	c.DefaultPermissions.Sub.Allow.Add(">", "jobs.* workers")
	c.DefaultPermissions.Resp = &jwt.ResponsePermission{MaxMsgs: 10, Expires: 5 * time.Second}
	c.EnableExternalAuthorization(public(nkeys.PrefixByteUser))
	c.Authorization.AllowedAccounts.Add("*")
	c.Authorization.XKey = public(nkeys.PrefixByteCurve)
	c.Trace = &jwt.MsgTrace{Destination: "trace.here", Sampling: 25}
	c.ClusterTraffic = jwt.ClusterTrafficOwner
	service := &jwt.Export{Name: "svc", Subject: "svc.*", Type: jwt.Service, TokenReq: true, ResponseType: jwt.ResponseTypeStream, ResponseThreshold: time.Second, Advertise: true, AllowTrace: true, Latency: &jwt.ServiceLatency{Sampling: jwt.Headers, Results: "latency.svc"}}
	service.Revoke(public(nkeys.PrefixByteAccount))
	c.Exports.Add(service, &jwt.Export{Name: "events", Subject: "events.*.>", Type: jwt.Stream, AccountTokenPosition: 2})
	activation := jwt.NewActivationClaims(accountKey)
	activation.ImportSubject = "ticks.>"
	activation.ImportType = jwt.Stream
	token := encode("activation", activation, exporter)
	c.Imports.Add(
		&jwt.Import{Name: "ticks", Subject: "ticks.>", Account: exporterKey, Token: token, LocalSubject: "in.ticks.>", Type: jwt.Stream, AllowTrace: true},
		&jwt.Import{Name: "calc", Subject: "calc.*", Account: exporterKey, LocalSubject: "my.calc.$1", Type: jwt.Service, Share: true},
	)
	return c
}

func unknown(operator nkeys.KeyPair, operatorKey string) {
	const header = `{"typ":"JWT","alg":"ed25519-nkey","x5t":"ignored"}`
	quote := func(s string) string { b, err := json.Marshal(s); check(err); return string(b) }
	accountKey := public(nkeys.PrefixByteAccount)
	identity := fmt.Sprintf(`"sub":%s,"iss":%s,"iat":1700000000,"jti":"X"`, quote(accountKey), quote(operatorKey))
	raw("account-unknown", header, `{"zeta":{"b":[1,2.50,-0,1E+400,123456789012345678901234567890.000],"a":null},`+identity+
		`,"name":"\u0041\ud83d\ude00\/","nats":{"quantum":{"entangled":true,"":[[],{},[{"deep":[0.1e-7]}]]},"version":2,"type":"account",`+
		`"mappings":{"z.>":[{"subject":"y.>","weight":100,"colour":"mauve","cluster":""}],"a":[{"cluster":"west","subject":"b","latency":1.000}]},`+
		`"limits":{"subs":-1,"data":-1,"payload":-1,"imports":-1,"exports":-1,"wildcards":true,"conn":-1,"leaf":-1,"tachyons":18446744073709551616},`+
		`"signing_keys":[{"kind":"user_scope","key":`+quote(public(nkeys.PrefixByteAccount))+`,"role":"r","template":{"subs":5,"vibes":"good"},"description":"d","since":"2031"}],`+
		`"exports":[{"subject":"x","type":"stream","half_life":12.5}],"future_list":[3,1,2]},"omega":"last"}`, operator, true)
	raw("account-duplicate-key", header, `{`+identity+`,"nats":{"version":2,"type":"account","mappings":{"a":[{"subject":"b"}],"a":[{"subject":"c"}]}}}`, operator, true)
	raw("account-case-variant", header, `{`+identity+`,"nats":{"version":2,"type":"account","Mappings":{"a":[{"subject":"b"}]}}}`, operator, true)
	raw("account-version-3", header, `{`+identity+`,"nats":{"version":3,"type":"account"}}`, operator, true)
	raw("account-version-1", `{"typ":"jwt","alg":"ed25519"}`, `{`+identity+`,"type":"account","nats":{"limits":{}}}`, operator, false)
}
