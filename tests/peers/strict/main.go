// Compares the strict reader with Go's own: `strict FIELDS TOKENS`. Every token that was read has to be one to Go's
// library too, and to say there what it says by the names of its fields.
//
// `strict FIELDS -` reads tokens from standard input, one a line, and answers each with a line: `ok`, or why it differs.
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"reflect"
	"sort"
	"strings"

	"github.com/nats-io/jwt/v2"
)

func main() {
	var listed struct{ Fields map[string]map[string]string }
	text, err := os.ReadFile(os.Args[1])
	check(err)
	check(json.Unmarshal(text, &listed))
	if os.Args[2] == "-" {
		answer(listed.Fields)
		return
	}
	file, err := os.Open(os.Args[2])
	check(err)
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 4<<20)
	read, refused, taken, failed := 0, 0, 0, 0
	for lines.Scan() {
		verdict, token, _ := strings.Cut(lines.Text(), " ")
		claims, err := decode(token)
		if verdict != "read" {
			refused++
			if err == nil {
				taken++
			}
			continue
		}
		read++
		if err == nil {
			err = same(listed.Fields, token, claims)
		}
		if err != nil {
			failed++
			if failed < 20 {
				fmt.Printf("%v: %s\n", err, body(token))
			}
		}
	}
	check(lines.Err())
	fmt.Printf("%d tokens read, %d of them otherwise by Go; %d refused, %d of which Go takes\n", read, failed, refused, taken)
	if failed > 0 || read == 0 || taken == 0 {
		os.Exit(1)
	}
}

// answer compares tokens of standard input until it ends.
func answer(fields map[string]map[string]string) {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		token := lines.Text()
		claims, err := decode(token)
		if err == nil {
			err = same(fields, token, claims)
		}
		said := "ok"
		if err != nil {
			said = strings.NewReplacer("\n", " ", "\r", " ").Replace(err.Error())
		}
		fmt.Println(said)
	}
	check(lines.Err())
}

// decode reads claims of any type: Decode takes those of a type of its own for version 1, whose signature is another.
func decode(token string) (jwt.Claims, error) {
	claims, err := jwt.Decode(token)
	if err != nil {
		generic, other := jwt.DecodeGeneric(token)
		if other == nil && !own(body(token)) {
			return generic, nil
		}
	}
	return claims, err
}

// own says whether the library has a type of its own for the claims.
func own(text []byte) bool {
	var id struct {
		Type jwt.ClaimType `json:"type"`
		Nats struct {
			Type jwt.ClaimType `json:"type"`
		} `json:"nats"`
	}
	if json.Unmarshal(text, &id) != nil {
		return true
	}
	if id.Type == "" {
		id.Type = id.Nats.Type
	}
	switch id.Type {
	case jwt.OperatorClaim, jwt.AccountClaim, jwt.UserClaim, jwt.ActivationClaim, jwt.AuthorizationRequestClaim,
		jwt.AuthorizationResponseClaim, "cluster", "server":
		return true
	}
	return false
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func body(token string) []byte {
	body, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	check(err)
	return body
}

// exact parses without rounding numbers.
func exact(text []byte) (parsed any) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	check(decoder.Decode(&parsed))
	return parsed
}

// same compares what Go has in its structs with what the names of the document say.
func same(fields map[string]map[string]string, token string, claims jwt.Claims) error {
	text, err := json.Marshal(claims)
	if err != nil {
		return err
	}
	kind := string(claims.ClaimType())
	if _, ok := claims.(*jwt.GenericClaims); ok {
		kind = "generic"
	}
	document := exact(body(token))
	unlimited(document)
	by := known(document, "", fields[kind])
	has := known(exact(text), "", fields[kind])
	if !reflect.DeepEqual(by, has) {
		return fmt.Errorf("says %v, is read as %v", by, has)
	}
	return nil
}

// known keeps the fields that the list has, in one form: without what Go leaves out, and as the library changes it.
func known(value any, path string, fields map[string]string) any {
	switch fields[path] {
	case "SigningKeys":
		return signingKeys(value, path, fields)
	case "CIDRList":
		if list, ok := value.(string); ok {
			src := jwt.CIDRList{}
			src.Set(list)
			value = exact(must(json.Marshal(src)))
		}
	case "SamplingRate":
		if value == nil || strings.EqualFold(fmt.Sprint(value), "headers") {
			return nil
		}
	}
	switch of := value.(type) {
	case map[string]any:
		kept := map[string]any{}
		for name, value := range of {
			at := path + "." + name
			if path == "" {
				at = name
			}
			if fields[path] == "map" {
				at = path + "{}"
				kept[name] = known(value, at, fields)
				continue
			}
			if _, ok := fields[at]; !ok {
				continue
			}
			// They are of version 1, and of the look at the type.
			if path == "" && (name == "type" || name == "tags" || name == "version") {
				continue
			}
			if value := known(value, at, fields); value != nil {
				kept[name] = value
			}
		}
		if tiers, ok := kept["tiered_limits"]; ok && tiers != nil {
			for _, field := range []string{"mem_storage", "disk_storage", "streams", "consumer", "max_ack_pending",
				"mem_max_stream_bytes", "disk_max_stream_bytes", "max_bytes_required"} {
				delete(kept, field)
			}
		}
		if len(kept) == 0 {
			return nil
		}
		return kept
	case []any:
		kept := []any{}
		for _, item := range of {
			kept = append(kept, known(item, path+"[]", fields))
		}
		if len(kept) == 0 {
			return nil
		}
		return kept
	case json.Number:
		if of.String() == "0" || of.String() == "-0" {
			return nil
		}
		return of.String()
	case bool:
		if !of {
			return nil
		}
	case string:
		if of == "" {
			return nil
		}
	}
	return value
}

// unlimited says in a token's document what a scope's template leaves out: without these limits it is unlimited, while
// the library writes nothing for a limit of 0.
func unlimited(document any) {
	nats := object(object(document)["nats"])
	keys, _ := nats["signing_keys"].([]any)
	for _, entry := range keys {
		scope := object(entry)
		if scope == nil {
			continue
		}
		template := object(scope["template"])
		if template == nil {
			template = map[string]any{}
			scope["template"] = template
		}
		for _, limit := range []string{"subs", "data", "payload"} {
			if template[limit] == nil {
				template[limit] = json.Number("-1")
			}
		}
	}
}

func object(value any) map[string]any {
	fields, _ := value.(map[string]any)
	return fields
}

// signingKeys are a map to the library: of several entries for one key the last counts.
func signingKeys(value any, path string, fields map[string]string) any {
	entries := map[string]any{}
	list, _ := value.([]any)
	for _, entry := range list {
		key, scope := fmt.Sprint(entry), any("plain")
		if of, ok := entry.(map[string]any); ok {
			key = ""
			if of["key"] != nil {
				key = fmt.Sprint(of["key"])
			}
			scope = known(of, path+"[]", fields)
		}
		entries[key] = scope
	}
	keys := []string{}
	for key := range entries {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	ordered := []any{}
	for _, key := range keys {
		ordered = append(ordered, key, entries[key])
	}
	if len(ordered) == 0 {
		return nil
	}
	return ordered
}

func must(text []byte, err error) []byte {
	check(err)
	return text
}
