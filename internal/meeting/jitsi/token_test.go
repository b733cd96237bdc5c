package jitsi_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsi"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsitest"
)

func TestProviderKeepsTheContract(t *testing.T) {
	now := time.Now
	jitsitest.Suite(t, now, func(t *testing.T) meeting.Provider {
		w := newWorld(t)
		return w.driver
	})
}

// Each case names what Prosody does with the claim.
func TestJoinTokenIsWhatProsodyChecks(t *testing.T) {
	w := newWorld(t)
	now := w.clock().Unix()
	for _, who := range []meeting.Person{doctor, patient} {
		token := w.credentials(who).JWT
		part := func(i int) (m map[string]any) {
			raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[i])
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(raw, &m); err != nil {
				t.Fatal(err)
			}
			return m
		}
		header, claims := part(0), part(1)
		user := claims["context"].(map[string]any)["user"].(map[string]any)
		features := claims["context"].(map[string]any)["features"].(map[string]any)
		for _, c := range []struct {
			fact      string
			got, want any
		}{
			{"any other typ than JWT is refused", header["typ"], "JWT"},
			{"alg must be the one that is configured; ES256 and EdDSA are not known", header["alg"], "RS256"},
			{"iss must be one of the accepted issuers", claims["iss"], "jumpa"},
			{"aud is compared as a string; a list is refused", claims["aud"], "jitsi"},
			{"sub is compared with the domain of the rooms, which is not the public host", claims["sub"], "meet.jitsi"},
			{"room is compared with the room entered; * would open all", claims["room"], vc},
			{"nbf knows no leeway, so it is back-dated", claims["nbf"], float64(now - 10)},
			{"a token without exp is accepted for ever, so there is one", claims["exp"], float64(now + 300)},
			{"iat is not checked, for people who read logs", claims["iat"], float64(now)},
			{"moderator makes an owner; everybody else must say no", user["moderator"], who.Role == meeting.Practitioner},
			{"a lobby holds even a moderator without it", user["lobby_bypass"], true},
			{"null in user breaks clients", user["email"], ""},
			{"null in user breaks clients", user["avatar"], ""},
			{"name is shown to the others", user["name"], who.Name},
			{"a feature that is not listed is on for a moderator", features["recording"], false},
			{"a feature that is not listed is on for a moderator", features["livestreaming"], false},
			{"a feature that is not listed is on for a moderator", features["transcription"], false},
			{"a feature that is not listed is on for a moderator", features["outbound-call"], false},
			{"a feature that is not listed is on for a moderator", features["create-polls"], false},
			{"a feature that is not listed is on for a moderator", features["flip"], false},
			{"a feature that is listed false is off", features["send-groupchat"], true},
		} {
			if c.got != c.want {
				t.Errorf("%s: %s: got %v, want %v", who.Role, c.fact, c.got, c.want)
			}
		}
		if kid, _ := header["kid"].(string); kid == "" {
			t.Errorf("%s: RS256 needs a kid to find the key", who.Role)
		}
		if id, _ := user["id"].(string); id == "" || strings.Contains(id, who.ID) {
			t.Errorf("%s: user.id is shown to everybody in the call: %q", who.Role, id)
		}
		if strings.Contains(string(mustJSON(t, claims)), who.ID) {
			t.Errorf("%s: the token shows who the person is", who.Role)
		}
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTheTokenOpensItsRoomForItsTimeOnly(t *testing.T) {
	for _, c := range []struct {
		name string
		join func(w *world, token string) error
		want string // "" for in
	}{
		{"its room, now", func(w *world, token string) error { return enter(w, token, vc) }, ""},
		{"its room, a moment before it ends", func(w *world, token string) error {
			w.pass(299 * time.Second)
			return enter(w, token, vc)
		}, ""},
		{"its room, when it has ended", func(w *world, token string) error {
			w.pass(300 * time.Second)
			return enter(w, token, vc)
		}, "exp"},
		{"its room, on a Prosody whose clock is behind", func(w *world, token string) error {
			w.pass(-10 * time.Second)
			return enter(w, token, vc)
		}, ""},
		{"another room", func(w *world, token string) error { return enter(w, token, "vc-other") }, "mismatched"},
		{"a changed token", func(w *world, token string) error {
			parts := strings.Split(token, ".")
			parts[1] = base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"jumpa","aud":"jitsi","sub":"meet.jitsi","room":"*"}`))
			return enter(w, strings.Join(parts, "."), vc)
		}, "signature"},
		{"the public key as a shared secret", func(w *world, token string) error {
			parts := strings.Split(token, ".")
			parts[0] = base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT","kid":"jumpa/login-1"}`))
			return enter(w, strings.Join(parts, "."), vc)
		}, "alg"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			err := c.join(w, w.credentials(doctor).JWT)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func enter(w *world, token, room string) error {
	_, err := w.prosody.Join(w.t.Context(), token, room)
	return err
}

func TestRolesInTheCall(t *testing.T) {
	w := newWorld(t)
	if o := w.join(doctor); o.Affiliation != "owner" {
		t.Errorf("the practitioner is %s", o.Affiliation)
	}
	if o := w.join(patient); o.Affiliation != "member" {
		t.Errorf("the patient is %s", o.Affiliation)
	}
}

// The portal adds the language to the address: the rest must survive that.
func TestThePageIsOpenedWithTheToken(t *testing.T) {
	w := newWorld(t)
	c := w.credentials(doctor)
	u, err := url.Parse(c.JoinURL)
	if err != nil {
		t.Fatal(err)
	}
	if u.String() != c.JoinURL {
		t.Error("the address changes when it is read and written")
	}
	settings, err := url.ParseQuery(u.EscapedFragment())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"jwt": `"` + c.JWT + `"`, "config.prejoinConfig.enabled": "false", "config.disableInviteFunctions": "true",
	} {
		if settings.Get(name) != want {
			t.Errorf("%s is not what the web app reads as JSON", name)
		}
	}
}

// With one key for both, anybody in a call could end every other.
func TestLoginKeysAndSystemKeysAreApart(t *testing.T) {
	w := newWorld(t)
	w.join(doctor)
	login := w.credentials(doctor).JWT
	if _, err := w.prosody.Verify(t.Context(), w.url+"/jitsi/asap/login", login); err != nil {
		t.Errorf("the login repository does not know a login key: %v", err)
	}
	if _, err := w.prosody.Verify(t.Context(), w.url+"/jitsi/asap/system", login); err == nil {
		t.Error("the system repository knows a login key")
	}
	if err := w.driver.End(t.Context(), vc); err != nil {
		t.Fatal(err)
	}
	shown := w.prosody.Shown()
	if len(shown) == 0 {
		t.Fatal("no control call carried a token")
	}
	for _, system := range shown {
		if _, err := w.prosody.Verify(t.Context(), w.url+"/jitsi/asap/system", system); err != nil {
			t.Errorf("a system token: %v", err)
		}
		if _, err := w.prosody.Verify(t.Context(), w.url+"/jitsi/asap/login", system); err == nil {
			t.Error("a system token can log in")
		}
	}
}

func TestKeysRotateWithOverlap(t *testing.T) {
	mine := &vault{}
	w := newWorld(t, func(o *jitsi.Options) { o.Vault = mine })
	repository := w.url + "/jitsi/asap/login"
	verify := func(token string) error {
		w.prosody.Forget()
		_, err := w.prosody.Verify(t.Context(), repository, token)
		return err
	}
	before := w.credentials(doctor).JWT
	if err := w.driver.RotateKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := w.credentials(doctor).JWT
	if kid(t, before) == kid(t, after) {
		t.Fatal("the kid did not change: Prosody would use the old key for ever")
	}
	for name, token := range map[string]string{"before": before, "after": after} {
		if err := verify(token); err != nil {
			t.Errorf("a token of %s the rotation: %v", name, err)
		}
	}
	w.pass(25 * time.Hour)
	if err := verify(before); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("the old key is still served after a day: %v", err)
	}
	if err := verify(w.credentials(doctor).JWT); err != nil {
		t.Errorf("a new token: %v", err)
	}
	if kid(t, after) != kid(t, w.credentials(doctor).JWT) {
		t.Error("the key rotated after a day")
	}
	w.pass(30 * 24 * time.Hour)
	if kid(t, after) == kid(t, w.credentials(doctor).JWT) {
		t.Error("the key did not rotate after a month")
	}
}

func kid(t *testing.T, token string) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[0])
	if err != nil {
		t.Fatal(err)
	}
	var h struct{ Kid string }
	if err := json.Unmarshal(raw, &h); err != nil {
		t.Fatal(err)
	}
	return h.Kid
}

func TestKeysOutliveTheProcessAndServeAnother(t *testing.T) {
	mine := &vault{}
	one := newWorld(t, func(o *jitsi.Options) { o.Vault = mine })
	two := newWorld(t, func(o *jitsi.Options) { o.Vault = mine })
	if _, err := two.prosody.Verify(t.Context(), two.url+"/jitsi/asap/login", one.credentials(doctor).JWT); err != nil {
		t.Errorf("a second process does not serve the key of the first: %v", err)
	}
	if a, b := kid(t, one.credentials(doctor).JWT), kid(t, two.credentials(doctor).JWT); a != b {
		t.Errorf("two processes sign with %s and %s", a, b)
	}
}

func TestKeysGoOnWhileTheVaultIsAway(t *testing.T) {
	mine := &vault{}
	w := newWorld(t, func(o *jitsi.Options) { o.Vault = mine })
	w.credentials(doctor)
	mine.breaks(errors.New("vault at " + secret))
	w.pass(2 * time.Minute)
	w.credentials(doctor)

	dark := newWorld(t, func(o *jitsi.Options) { o.Vault = &vault{fail: errors.New("no disk")} })
	if _, err := dark.driver.Credentials(t.Context(), vc, doctor); fhir.CodeOf(err) != fhir.CodeTransient {
		t.Errorf("without any key: %v", err)
	}
}

func TestOnlyKeyFilesAreServed(t *testing.T) {
	w := newWorld(t)
	w.credentials(doctor)
	for _, file := range []string{"", "x.pem", strings.Repeat("0", 64) + ".pem", "..%2f..%2fetc%2fpasswd", "jitsi.login.keys"} {
		if status, body := w.ask("GET", "/jitsi/asap/login/"+file, "", "", ""); status != 404 || strings.Contains(body, "KEY") {
			t.Errorf("%q: %d %s", file, status, body)
		}
	}
}

func TestSharedSecretIsForDevelopment(t *testing.T) {
	shared := []byte("development-secret-of-32-bytes-or-more")
	w := newWorld(t, func(o *jitsi.Options) { o.SharedSecret, o.Vault = shared, nil })
	if !strings.Contains(w.log.String(), "level=WARN") || !strings.Contains(w.log.String(), "HS256") {
		t.Errorf("no warning: %s", w.log)
	}
	if strings.Contains(w.log.String(), string(shared)) {
		t.Error("the warning shows the secret")
	}
	w.join(doctor)
	if err := w.driver.End(t.Context(), vc); err != nil || w.prosody.Open(vc) {
		t.Errorf("end: %v", err)
	}
	if w.driver.RotateKeys(t.Context()) == nil {
		t.Error("a shared secret rotated")
	}
}

func TestOptionsThatCannotWork(t *testing.T) {
	good := jitsi.Options{
		Domain: "meet.example.my", ControlURL: "http://prosody:5280", Bearer: bearer, Secret: []byte(secret), Vault: &vault{}, Store: database(t),
	}
	if _, err := jitsi.New(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*jitsi.Options){
		"no domain":                func(o *jitsi.Options) { o.Domain = "" },
		"a URL for a domain":       func(o *jitsi.Options) { o.Domain = "https://meet.example.my/" },
		"a policy for a domain":    func(o *jitsi.Options) { o.Domain = "meet.example.my; script-src *" },
		"no control address":       func(o *jitsi.Options) { o.ControlURL = "" },
		"a control path":           func(o *jitsi.Options) { o.ControlURL = "/prosody" },
		"a password in an address": func(o *jitsi.Options) { o.ControlURL = "http://me:hunter2@prosody:5280" },
		"a short bearer":           func(o *jitsi.Options) { o.Bearer = "short" },
		"a short secret":           func(o *jitsi.Options) { o.Secret = []byte("short") },
		"no store":                 func(o *jitsi.Options) { o.Store = nil },
		"no vault":                 func(o *jitsi.Options) { o.Vault = nil },
		"a short shared secret":    func(o *jitsi.Options) { o.SharedSecret = []byte("short") },
	} {
		o := good
		spoil(&o)
		if _, err := jitsi.New(o); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
