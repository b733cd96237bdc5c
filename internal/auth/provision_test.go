package auth

import (
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

func TestPutClient(t *testing.T) {
	good := SourceSystem{
		ClientID: "KKPD", Name: "Clinic", Organization: "11-05040012", Secret: NewSecret(), Scopes: clientScopes,
		Email: "kkpd@source.example", Password: "p",
	}
	for _, c := range []struct {
		name string
		edit func(*SourceSystem)
		want fhir.Code
	}{
		{"good", func(*SourceSystem) {}, ""},
		{"without e-mail", func(s *SourceSystem) { s.Email, s.Password = "", "" }, ""},
		{"without scopes", func(s *SourceSystem) { s.Scopes = nil }, ""},
		{"no id", func(s *SourceSystem) { s.ClientID = "" }, fhir.CodeRequired},
		{"no organisation", func(s *SourceSystem) { s.Organization = "" }, fhir.CodeRequired},
		{"a secret that can be guessed", func(s *SourceSystem) { s.Secret = "hunter2" }, fhir.CodeValue},
		{"no password", func(s *SourceSystem) { s.Password = "" }, fhir.CodeRequired},
		{"a password for nobody", func(s *SourceSystem) { s.Email = "" }, fhir.CodeRequired},
		{"a scope that there is not", func(s *SourceSystem) { s.Scopes = []string{"system/Patient.xyz"} }, fhir.CodeValue},
		{"two scopes in one", func(s *SourceSystem) { s.Scopes = []string{"session notify"} }, fhir.CodeValue},
		{"an e-mail address that is taken", func(s *SourceSystem) { s.Email = strings.ToUpper(email) }, fhir.CodeDuplicate},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			s := good
			c.edit(&s)
			err := w.store.Update(t.Context(), func(tx store.Tx) error { return PutClient(tx, w.now, s) })
			wantCode(t, err, c.want)
			_, there := w.account("client", "KKPD")
			if there != (c.want == "") {
				t.Errorf("account there: %v", there)
			}
			if a, _ := w.account(Notifier, email); a.ID != "HTJ" {
				t.Errorf("the other client's account has become %q", a.ID)
			}
		})
	}
}

func TestRotatingASecret(t *testing.T) {
	w := newWorld(t)
	made, _ := w.account("client", "HTJ")
	tokens := w.tokens(false)
	w.pass(time.Hour)
	fresh := NewSecret()
	w.update(func(tx store.Tx) error {
		return PutClient(tx, w.clock(), SourceSystem{
			ClientID: "HTJ", Organization: hospital, Secret: fresh, Scopes: []string{"notify"}, Email: "new@source.example", Password: "new",
		})
	})
	_, err := tokens.ForClient(t.Context(), "HTJ", secret, "")
	wantCode(t, err, fhir.CodeLogin)
	_, err = tokens.ForNotifier(t.Context(), email, password)
	wantCode(t, err, fhir.CodeLogin)
	token, err := tokens.ForClient(t.Context(), "HTJ", fresh, "")
	if err != nil || token.Scope != "notify" {
		t.Errorf("token %+v, error %v", token, err)
	}
	if _, err := tokens.ForNotifier(t.Context(), "new@source.example", "new"); err != nil {
		t.Error(err)
	}
	if a, _ := w.account("client", "HTJ"); !a.Created.Equal(made.Created) {
		t.Errorf("made at %v, was %v", a.Created, made.Created)
	}
}

func TestPutDemoPatient(t *testing.T) {
	w := newWorld(t)
	put := func(p DemoPatient) store.Account {
		t.Helper()
		w.update(func(tx store.Tx) error { return PutDemoPatient(tx, w.now, p) })
		a, _ := w.account("patient", p.IdentityNumber)
		return a
	}
	p := DemoPatient{ID: "demo-siti", IdentityNumber: siti, Name: "Siti", Code: "246810"}
	first := put(p)
	if !first.Demo || first.Active || !Matches(first.SecretHash, "246810") {
		t.Errorf("account %+v", first)
	}
	if again := put(p); again.SecretHash != first.SecretHash {
		t.Error("a code that is the same was hashed again")
	}
	w.change("patient", siti, func(a *store.Account) { a.Active = true })
	p.Code = "135790"
	if a := put(p); !a.Active || !Matches(a.SecretHash, "135790") {
		t.Errorf("activation was undone or the code not changed: %+v", a)
	}
	w.activate(aminah)
	if a := put(DemoPatient{ID: "demo", IdentityNumber: aminah, Name: "Aminah", Code: "246810"}); a.Demo || a.SecretHash != "" {
		t.Errorf("a real account has become a demo: %+v", a)
	}
}
