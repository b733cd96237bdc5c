package auth

import (
	"strings"
	"testing"
)

func TestMatches(t *testing.T) {
	password, random := HashPassword("s3cret"), HashSecret("s3cret")
	for _, c := range []struct {
		name, hash, secret string
		want               bool
	}{
		{"password", password, "s3cret", true},
		{"wrong password", password, "s3creT", false},
		{"no password", password, "", false},
		{"random secret", random, "s3cret", true},
		{"wrong random secret", random, "s3cret ", false},
		{"no hash", "", "", false},
		{"the hash itself", random, random, false},
		{"nothing stands behind it", noSecret, "", false},
		{"no password stands behind it", noPassword, "", false},
		{"another scheme", "$argon2i$" + strings.TrimPrefix(password, "$argon2id$"), "s3cret", false},
		{"another version", strings.Replace(password, "v=19", "v=16", 1), "s3cret", false},
		{"more passes", strings.Replace(password, "t=2", "t=3", 1), "s3cret", false},
		{"memory for a bomb", strings.Replace(password, "m=19456", "m=4194304", 1), "s3cret", false},
		{"passes for a bomb", strings.Replace(password, "t=2", "t=4000000", 1), "s3cret", false},
		{"no parameters", strings.Replace(password, "m=19456,t=2,p=1", "", 1), "s3cret", false},
		{"an empty key", password[:strings.LastIndex(password, "$")+1], "s3cret", false},
		{"salt that is none", strings.Replace(password, "p=1$", "p=1$*", 1), "s3cret", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Matches(c.hash, c.secret); got != c.want {
				t.Errorf("Matches(%q) is %v", c.hash, got)
			}
		})
	}
}

func TestHashesDoNotShowWhoSharesAPassword(t *testing.T) {
	if first, second := HashPassword("s3cret"), HashPassword("s3cret"); first == second {
		t.Error("the same password gives the same hash")
	}
	if h := HashPassword("s3cret"); !strings.HasPrefix(h, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("the hash does not say how it was made: %s", h)
	}
}

func TestNewSecret(t *testing.T) {
	a, b := NewSecret(), NewSecret()
	if a == b || len(a) != secretLength {
		t.Errorf("secrets %q, %q", a, b)
	}
}
