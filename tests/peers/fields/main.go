// Lists, by reflection, every field that Go's jwt library decodes, and the folds by which Go's JSON decoder takes one
// name for another: `fields FOLDER` writes claims-fields.json and go-fold.txt there. The table of
// src/model/claims/schema is compared with them.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"strings"
	"unicode"

	"github.com/nats-io/jwt/v2"
)

// asRead is what servers decode of a token, whatever it is about: the claims, and at the same level what
// jwt.DecodeGeneric and the look at a token's type decode there.
type asRead[T any] struct {
	jwt.ClaimsData
	jwt.GenericFields
	Nats T `json:"nats"`
}

func main() {
	list := map[string]map[string]string{
		"header":                 fields(jwt.Header{}),
		"operator":               claims[jwt.Operator](jwt.OperatorClaims{}),
		"account":                claims[jwt.Account](jwt.AccountClaims{}),
		"user":                   claims[jwt.User](jwt.UserClaims{}),
		"activation":             claims[jwt.Activation](jwt.ActivationClaims{}),
		"authorization_request":  claims[jwt.AuthorizationRequest](jwt.AuthorizationRequestClaims{}),
		"authorization_response": claims[jwt.AuthorizationResponse](jwt.AuthorizationResponseClaims{}),
		"generic":                claims[jwt.GenericFields](jwt.ClaimsData{}),
	}
	text, err := json.MarshalIndent(map[string]any{"library": version(), "fields": list}, "", " ")
	check(err)
	check(os.WriteFile(filepath.Join(os.Args[1], "claims-fields.json"), append(text, '\n'), 0o644))
	check(os.WriteFile(filepath.Join(os.Args[1], "go-fold.txt"), []byte(folds()), 0o644))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		log.Fatal("the build does not say its modules")
	}
	for _, module := range info.Deps {
		if module.Path == "github.com/nats-io/jwt/v2" {
			return module.Path + " " + module.Version
		}
	}
	log.Fatal("the build has no jwt library")
	return ""
}

// claims lists what is read of claims of one type, and stops when the library's own type has more than that.
func claims[T any](own any) map[string]string {
	found := fields(asRead[T]{})
	for path, kind := range fields(own) {
		if found[path] != kind {
			log.Fatalf("%T has %s (%s), which is not listed", own, path, kind)
		}
	}
	return found
}

func fields(of any) map[string]string {
	found := map[string]string{}
	members("", reflect.TypeOf(of), found)
	return found
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// place lists a value and what is in it. Types that decode themselves are listed by their names.
func place(path string, of reflect.Type, found map[string]string) {
	if of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	if before, ok := found[path]; ok {
		log.Fatalf("%s is there twice, once as %s", path, before)
	}
	if reflect.PointerTo(of).Implements(unmarshaler) {
		found[path] = of.Name()
		if of == reflect.TypeFor[jwt.SigningKeys]() {
			place(path+"[]", reflect.TypeFor[jwt.UserScope](), found)
		}
		return
	}
	switch kind := of.Kind(); kind {
	case reflect.Struct:
		found[path] = "struct"
		members(path+".", of, found)
	case reflect.Slice:
		found[path] = "list"
		place(path+"[]", of.Elem(), found)
	case reflect.Map:
		found[path] = "map"
		place(path+"{}", of.Elem(), found)
	case reflect.Int, reflect.Int64:
		found[path] = "int64"
	case reflect.Uint, reflect.Uint64:
		found[path] = "uint64"
	case reflect.Uint8, reflect.Bool, reflect.String:
		found[path] = kind.String()
	default:
		log.Fatalf("%s is a %s, which is not known here", path, kind)
	}
}

// members lists the fields of a struct as encoding/json names them.
func members(prefix string, of reflect.Type, found map[string]string) {
	for i := range of.NumField() {
		field := of.Field(i)
		tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Anonymous && tag == "" {
			members(prefix, field.Type, found)
			continue
		}
		if tag == "-" || !field.IsExported() {
			continue
		}
		if tag == "" {
			tag = field.Name
		}
		place(prefix+tag, field.Type, found)
	}
}

// folds lists the characters that stand for each other in a name, a line for each set of them.
func folds() string {
	var text strings.Builder
	for r := rune(0); r <= unicode.MaxRune; r++ {
		set := []rune{r}
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			set = append(set, next)
		}
		smallest := true
		for _, other := range set {
			smallest = smallest && r <= other
		}
		if smallest && len(set) > 1 {
			fmt.Fprintln(&text, string(set))
		}
	}
	return text.String()
}
