package main

import (
	"fmt"
	"log"
	"reflect"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// every writes a token of each type in which every field of the library has a value, whatever it means: a field that
// the library gains is in them once they are minted anew.
func every(operator, account nkeys.KeyPair) {
	op := jwt.NewOperatorClaims(public(nkeys.PrefixByteOperator))
	fill(reflect.ValueOf(&op.Operator).Elem())
	op.SigningKeys = jwt.StringList{public(nkeys.PrefixByteOperator)}
	op.SystemAccount = public(nkeys.PrefixByteAccount)
	op.AccountServerURL = "nats://localhost"
	envelope(&op.ClaimsData)
	encodeAny("every-operator", op, operator)

	ac := jwt.NewAccountClaims(public(nkeys.PrefixByteAccount))
	fill(reflect.ValueOf(&ac.Account).Elem())
	scope := jwt.NewUserScope()
	fill(reflect.ValueOf(scope).Elem())
	scope.Key = public(nkeys.PrefixByteAccount)
	ac.SigningKeys = jwt.SigningKeys{public(nkeys.PrefixByteAccount): nil, scope.Key: scope}
	envelope(&ac.ClaimsData)
	encodeAny("every-account", ac, operator)

	user := jwt.NewUserClaims(public(nkeys.PrefixByteUser))
	fill(reflect.ValueOf(&user.User).Elem())
	envelope(&user.ClaimsData)
	encodeAny("every-user", user, account)

	activation := jwt.NewActivationClaims(public(nkeys.PrefixByteAccount))
	fill(reflect.ValueOf(&activation.Activation).Elem())
	activation.IssuerAccount = public(nkeys.PrefixByteAccount)
	envelope(&activation.ClaimsData)
	encodeAny("every-activation", activation, account)

	response := jwt.NewAuthorizationResponseClaims(public(nkeys.PrefixByteUser))
	fill(reflect.ValueOf(&response.AuthorizationResponse).Elem())
	envelope(&response.ClaimsData)
	encodeAny("every-authorization-response", response, account)

	generic := jwt.NewGenericClaims(public(nkeys.PrefixByteAccount))
	generic.Data = map[string]any{"type": "generic", "tags": []string{"x"}, "deep": map[string]any{"Sub": 1.5, "sub": []any{nil, true}}}
	envelope(&generic.ClaimsData)
	encodeAny("every-generic", generic, account)
}

func envelope(claims *jwt.ClaimsData) {
	claims.Audience, claims.Name, claims.Expires, claims.NotBefore = "x", "<&>\u2028ſ", 4_102_444_800, 1
}

func encodeAny(name string, claims jwt.Claims, signer nkeys.KeyPair) {
	token, err := claims.Encode(signer)
	check(err)
	write(name, token)
}

func fill(v reflect.Value) {
	switch of := v.Addr().Interface().(type) {
	case *jwt.ExportType:
		*of = jwt.Service
		return
	case *jwt.ScopeType:
		*of = jwt.UserScopeType
		return
	case *jwt.SamplingRate:
		*of = 50
		return
	case *jwt.SigningKeys:
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("x.>")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint, reflect.Uint8, reflect.Uint64:
		v.SetUint(7)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		value := reflect.New(v.Type().Elem()).Elem()
		fill(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("Orders.>").Convert(v.Type().Key()), value)
		v.SetMapIndex(reflect.ValueOf("orders.>").Convert(v.Type().Key()), value)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	default:
		log.Fatal(fmt.Errorf("%s is a %s, which is not known here", v.Type(), v.Kind()))
	}
}
