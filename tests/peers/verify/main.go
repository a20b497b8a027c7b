// Checks with Go's own jwt library what vstream-jwt made of the fixtures: `verify FIXTURES MADE`. For every token in
// MADE: it decodes, validates as well as the original did, and differs from it in mappings, issuer, time and id only.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/nats-io/jwt/v2"
)

func main() {
	made, err := filepath.Glob(filepath.Join(os.Args[2], "*.jwt"))
	if err != nil || len(made) == 0 {
		fmt.Println("no tokens to check in", os.Args[2])
		os.Exit(1)
	}
	failed := false
	for _, path := range made {
		problem := check(filepath.Join(os.Args[1], filepath.Base(path)), path)
		if problem != nil {
			failed = true
			fmt.Printf("%s: %v\n", filepath.Base(path), problem)
		}
	}
	if failed {
		os.Exit(1)
	}
	fmt.Printf("%d tokens decoded, validated and compared\n", len(made))
}

func read(path string) (string, error) {
	text, err := os.ReadFile(path)
	return strings.TrimSpace(string(text)), err
}

func check(originalPath, path string) error {
	token, err := read(path)
	if err != nil {
		return err
	}
	if strings.HasPrefix(filepath.Base(path), "user") {
		return checkUser(token)
	}
	claims, err := jwt.DecodeAccountClaims(token)
	if err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	text, err := read(originalPath)
	if err != nil {
		return err
	}
	original, err := jwt.DecodeAccountClaims(text)
	if err != nil {
		return fmt.Errorf("decode original: %w", err)
	}
	if before, after := issues(original), issues(claims); !reflect.DeepEqual(before, after) {
		return fmt.Errorf("validation: %v, the original: %v", after, before)
	}
	expected := jwt.Mapping{}
	text, err = read(strings.TrimSuffix(path, ".jwt") + ".mappings.json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(text), &expected); err != nil {
		return err
	}
	if len(claims.Mappings)+len(expected) > 0 && !reflect.DeepEqual(claims.Mappings, expected) {
		return fmt.Errorf("mappings: %v, expected: %v", claims.Mappings, expected)
	}
	if claims.IssuedAt <= original.IssuedAt || claims.ID == original.ID {
		return fmt.Errorf("iat or jti is not new")
	}
	claims.Mappings, claims.Issuer, claims.IssuedAt, claims.ID = original.Mappings, original.Issuer, original.IssuedAt, original.ID
	if !reflect.DeepEqual(claims, original) {
		return fmt.Errorf("differs from the original in more than its mappings")
	}
	return nil
}

// checkUser checks a user that vstream-jwt minted.
func checkUser(token string) error {
	user, err := jwt.DecodeUserClaims(token)
	if err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	if found := issues(user); len(found) > 0 {
		return fmt.Errorf("validation: %v", found)
	}
	if user.Expires == 0 || user.BearerToken {
		return fmt.Errorf("a user without end, or a bearer token")
	}
	if scoped := user.IssuerAccount != "" && len(user.Pub.Allow) == 0; scoped && !user.HasEmptyPermissions() {
		return fmt.Errorf("a scoped user has permissions of its own")
	}
	return nil
}

func issues(claims jwt.Claims) []string {
	vr := jwt.CreateValidationResults()
	claims.Validate(vr)
	found := []string{}
	for _, issue := range vr.Issues {
		found = append(found, issue.Description)
	}
	return found
}
