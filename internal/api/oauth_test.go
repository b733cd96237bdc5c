package api

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/jumpa-hie/jumpa/internal/auth"
)

const tokenPath = "/auth/token"

// basic gives the header of HTTP Basic, whose parts are form encoded.
func basic(id, secret string) map[string]string {
	pair := url.QueryEscape(id) + ":" + url.QueryEscape(secret)
	return map[string]string{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte(pair))}
}

// grant sends a form to the token endpoint.
func (s *systems) grant(form string, header map[string]string) reply {
	s.Helper()
	h := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	for k, v := range header {
		h[k] = v
	}
	return s.do("POST", tokenPath, "", form, h)
}

const grantType = "grant_type=client_credentials"

// inForm gives client credentials as part of a form.
func inForm(id, secret string) string {
	return grantType + "&" + url.Values{"client_id": {id}, "client_secret": {secret}}.Encode()
}

func TestTokensForClients(t *testing.T) {
	s := newSystems(t)
	const all = "system/*.cruds session notify"
	for _, c := range []struct {
		name, form string
		header     map[string]string
		scope      string
	}{
		{"basic", grantType, basic("hospital", hospitalSecret), all},
		{"basic in capitals and small letters", grantType, map[string]string{"Authorization": strings.Replace(basic("hospital", hospitalSecret)["Authorization"], "Basic", "bAsIc", 1)}, all},
		{"body", inForm("hospital", hospitalSecret), nil, all},
		{"basic with the id once more", grantType + "&client_id=hospital", basic("hospital", hospitalSecret), all},
		{"form with a charset", inForm("hospital", hospitalSecret), map[string]string{"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}, all},
		{"what is not known is ignored", inForm("hospital", hospitalSecret) + "&audience=x", nil, all},
		{"a smaller scope", inForm("hospital", hospitalSecret) + "&scope=system%2FPatient.rs+session", nil, "system/Patient.rs session"},
		{"a scope of the first version", inForm("hospital", hospitalSecret) + "&scope=system%2F*.read", nil, "system/*.read"},
		{"a scope twice", inForm("hospital", hospitalSecret) + "&scope=session+session", nil, "session"},
		{"no scope named", inForm("reader", readerSecret) + "&scope=", nil, "system/*.rs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := s.grant(c.form, c.header)
			var got struct {
				Token   string `json:"access_token"`
				Type    string `json:"token_type"`
				Scope   string
				Expires int `json:"expires_in"`
			}
			if err := json.Unmarshal([]byte(r.body), &got); err != nil || r.status != http.StatusOK {
				t.Fatalf("%v, %+v", err, r)
			}
			if got.Type != "Bearer" || got.Scope != c.scope || got.Expires != int(auth.TokenLife.Seconds()) {
				t.Errorf("type %q, scope %q, expires in %d", got.Type, got.Scope, got.Expires)
			}
			if r.header.Get("Cache-Control") != "no-store" || r.header.Get("Content-Type") != mediaJSON {
				t.Errorf("headers %v", r.header)
			}
			p, err := s.tokens.Verify(t.Context(), got.Token)
			if err != nil || strings.Join(p.Scopes, " ") != c.scope || p.Organization != hospitalID {
				t.Errorf("the token is that of %+v, %v", p, err)
			}
		})
	}
}

// The scope of the token counts, not that of the client.
func TestNarrowedTokenDoesLess(t *testing.T) {
	s := newSystems(t)
	token := s.grant(inForm("hospital", hospitalSecret)+"&scope=system%2FPatient.r", nil).member("access_token")
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", Root + "/Patient/aminah", "", 200},
		{"GET", Root + "/Patient?_id=aminah", "", 403},
		{"GET", Root + "/Observation/o1", "", 403},
		{"PUT", Root + "/Patient/aminah", `{"resourceType":"Patient","id":"aminah"}`, 403},
		{"POST", sessions, "{}", 403},
		{"POST", notificationPath, `{"title":"a","body":"b","patientIds":["x"]}`, 403},
	} {
		if r := s.do(c.method, c.path, token, c.body, nil); r.status != c.status {
			t.Errorf("%s %s: %d, want %d: %s", c.method, c.path, r.status, c.status, r.body)
		}
	}
}

func TestTokenEndsInTime(t *testing.T) {
	s := newSystems(t)
	token := s.grant(inForm("hospital", hospitalSecret), nil).member("access_token")
	s.pass(auth.TokenLife - time.Second)
	if r := s.do("GET", Root+"/Patient/aminah", token, "", nil); r.status != http.StatusOK {
		t.Errorf("in the last second: %+v", r)
	}
	s.pass(time.Second)
	r := s.do("GET", Root+"/Patient/aminah", token, "", nil)
	wantOutcome(t, r, http.StatusUnauthorized, `"expired"`)
	if got := r.header.Get("WWW-Authenticate"); !strings.HasPrefix(got, "Bearer ") || !strings.Contains(got, `error="invalid_token"`) {
		t.Errorf("WWW-Authenticate %q", got)
	}
}

func TestTokenRefusals(t *testing.T) {
	s := newSystems(t)
	good := inForm("hospital", hospitalSecret)
	for _, c := range []struct {
		name, form string
		header     map[string]string
		status     int
		code       string
	}{
		{"wrong secret in the body", inForm("hospital", clinicSecret), nil, 401, "invalid_client"},
		{"wrong secret with basic", grantType, basic("hospital", clinicSecret), 401, "invalid_client"},
		{"unknown client", inForm("nobody", hospitalSecret), nil, 401, "invalid_client"},
		{"no client", grantType, nil, 401, "invalid_client"},
		{"no secret", grantType + "&client_id=hospital", nil, 401, "invalid_client"},
		{"a secret without end", inForm("hospital", strings.Repeat("x", 501)), nil, 401, "invalid_client"},
		{"the e-mail and password of the notification API", inForm("htj@source.example", hospitalPW), nil, 401, "invalid_client"},
		{"unknown grant", "grant_type=password&username=a&password=b", basic("hospital", hospitalSecret), 400, "unsupported_grant_type"},
		{"no grant", "scope=session", basic("hospital", hospitalSecret), 400, "invalid_request"},
		{"nothing at all", "", nil, 400, "invalid_request"},
		{"more scope than held", inForm("reader", readerSecret) + "&scope=session", nil, 400, "invalid_scope"},
		{"one scope of two held", inForm("reader", readerSecret) + "&scope=system%2F*.rs+notify", nil, 400, "invalid_scope"},
		{"what is no scope", good + "&scope=everything", nil, 400, "invalid_scope"},
		{"a scope of users", good + "&scope=user%2F*.read", nil, 400, "invalid_scope"},
		{"scopes without end", good + "&scope=" + strings.Repeat("session+", 300), nil, 400, "invalid_scope"},
		{"both ways at once", good, basic("hospital", hospitalSecret), 400, "invalid_request"},
		{"two clients", grantType + "&client_id=clinic", basic("hospital", hospitalSecret), 400, "invalid_request"},
		{"a parameter twice", good + "&" + grantType, nil, 400, "invalid_request"},
		{"a bad escape", good + "&scope=%zz", nil, 400, "invalid_request"},
		{"json", `{"grant_type":"client_credentials"}`, map[string]string{"Content-Type": mediaJSON}, 400, "invalid_request"},
		{"no content type", good, map[string]string{"Content-Type": ""}, 400, "invalid_request"},
		{"too large", good + "&scope=" + strings.Repeat("x", maxSmallBody), nil, 413, "invalid_request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := s.written()
			r := s.grant(c.form, c.header)
			if r.status != c.status || r.member("error") != c.code || r.member("error_description") == "" {
				t.Errorf("%d %s, want %d %s", r.status, r.body, c.status, c.code)
			}
			if r.header.Get("Content-Type") != mediaJSON || r.header.Get("Cache-Control") != "no-store" {
				t.Errorf("headers %v", r.header)
			}
			if challenge := r.header.Get("WWW-Authenticate"); strings.HasPrefix(challenge, "Basic ") != (c.status == 401) {
				t.Errorf("WWW-Authenticate %q", challenge)
			}
			for _, secret := range []string{hospitalSecret, clinicSecret, hospitalPW, "access_token"} {
				if strings.Contains(r.body, secret) {
					t.Errorf("the refusal shows too much: %s", r.body)
				}
			}
			if after := s.written(); after != before {
				t.Errorf("something was written: %s", after)
			}
		})
	}
}

// Whoever tries secrets must wait; a client with the right one is let in all
// day, and so is everybody else.
func TestTokenAttemptsAreLimited(t *testing.T) {
	s := newSystems(t)
	for range 30 {
		if r := s.grant(inForm("clinic", clinicSecret), nil); r.status != http.StatusOK {
			t.Fatalf("the right secret: %+v", r)
		}
	}
	attempts := 0
	var r reply
	for r = s.grant(inForm("hospital", "guess"), nil); r.status == http.StatusUnauthorized && attempts < 1000; attempts++ {
		r = s.grant(inForm("hospital", "guess"), nil)
	}
	if r.status != http.StatusTooManyRequests || r.member("error") != "temporarily_unavailable" {
		t.Fatalf("after %d attempts: %+v", attempts, r)
	}
	wait, err := strconv.Atoi(r.header.Get("Retry-After"))
	if err != nil || wait < 1 {
		t.Fatalf("Retry-After %q", r.header.Get("Retry-After"))
	}
	if r := s.grant(inForm("hospital", hospitalSecret), nil); r.status != http.StatusTooManyRequests {
		t.Errorf("the right secret after too many wrong ones tells that it is right: %+v", r)
	}
	if r := s.grant(inForm("clinic", clinicSecret), nil); r.status != http.StatusOK {
		t.Errorf("another client waits too: %+v", r)
	}
	s.pass(time.Duration(wait) * time.Second)
	if r := s.grant(inForm("hospital", hospitalSecret), nil); r.status != http.StatusOK {
		t.Errorf("after the time that Retry-After names: %+v", r)
	}
}

// Others can verify tokens with nothing but the published keys.
func TestPublishedKeysVerifyTokens(t *testing.T) {
	s := newSystems(t)
	r := s.do("GET", "/auth/jwks", "", "", nil)
	if r.status != http.StatusOK || r.header.Get("Content-Type") != "application/jwk-set+json" {
		t.Fatalf("%+v", r)
	}
	if strings.Contains(r.body, `"d":`) {
		t.Fatal("the private key is published")
	}
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(r.body), &keys); err != nil {
		t.Fatal(err)
	}
	token := s.grant(inForm("hospital", hospitalSecret), nil).member("access_token")
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		jwt.Claims
		Scope        string `json:"scope"`
		Organization string `json:"organization"`
	}
	if err := parsed.Claims(&keys, &claims); err != nil {
		t.Fatal(err)
	}
	if claims.Issuer != s.url || claims.Subject != "hospital" || claims.Organization != hospitalID || claims.Scope == "" {
		t.Errorf("claims %+v", claims)
	}
}

func TestSmartConfiguration(t *testing.T) {
	s := newSystems(t)
	for _, path := range []string{"/.well-known/smart-configuration", Root + "/.well-known/smart-configuration"} {
		r := s.do("GET", path, "", "", nil)
		var got struct {
			Issuer       string   `json:"issuer"`
			Keys         string   `json:"jwks_uri"`
			Token        string   `json:"token_endpoint"`
			Grants       []string `json:"grant_types_supported"`
			Methods      []string `json:"token_endpoint_auth_methods_supported"`
			Scopes       []string `json:"scopes_supported"`
			Capabilities []string
		}
		if err := json.Unmarshal([]byte(r.body), &got); err != nil || r.status != http.StatusOK || r.header.Get("Content-Type") != mediaJSON {
			t.Fatalf("%s: %v, %+v", path, err, r)
		}
		if got.Issuer != s.url || !slices.Contains(got.Grants, "client_credentials") || len(got.Methods) != 2 || len(got.Scopes) != 6 ||
			!slices.Contains(got.Capabilities, "client-confidential-symmetric") {
			t.Errorf("%s: %+v", path, got)
		}
		// What it says is so: a client that knows nothing else gets a token
		// with each scope, and finds the keys.
		for _, scope := range got.Scopes {
			to := strings.TrimPrefix(got.Token, s.url)
			r := s.do("POST", to, "", inForm("hospital", hospitalSecret)+"&scope="+url.QueryEscape(scope), map[string]string{"Content-Type": "application/x-www-form-urlencoded"})
			if r.status != http.StatusOK || r.member("scope") != scope {
				t.Errorf("scope %s: %+v", scope, r)
			}
		}
		if r := s.do("GET", strings.TrimPrefix(got.Keys, s.url), "", "", nil); r.status != http.StatusOK {
			t.Errorf("keys: %+v", r)
		}
	}
}

func TestOAuthAddresses(t *testing.T) {
	s := newSystems(t)
	for _, c := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", tokenPath, 405, "POST"},
		{"HEAD", tokenPath, 405, "POST"},
		{"POST", "/auth/jwks", 405, "GET"},
		{"PUT", "/.well-known/smart-configuration", 405, "GET"},
		{"DELETE", Root + "/.well-known/smart-configuration", 405, "GET"},
		{"GET", "/auth/authorize", 404, ""},
		{"GET", "/auth/", 404, ""},
	} {
		r := s.do(c.method, c.path, "", "", nil)
		if r.status != c.status || r.header.Get("Allow") != c.allow {
			t.Errorf("%s %s: %d, Allow %q, want %d, %q", c.method, c.path, r.status, r.header.Get("Allow"), c.status, c.allow)
		}
		if c.method != "HEAD" && !strings.Contains(r.body, `"OperationOutcome"`) {
			t.Errorf("%s %s: %s", c.method, c.path, r.body)
		}
	}
	for _, path := range []string{"/auth/jwks", "/.well-known/smart-configuration"} {
		if r := s.do("HEAD", path, "", "", nil); r.status != http.StatusOK || r.body != "" || r.header.Get("Content-Type") == "" {
			t.Errorf("HEAD %s: %+v", path, r)
		}
	}
}

// A broken database is told as such, without a word about it.
func TestTokenFaultShowsNothing(t *testing.T) {
	s := newSystems(t)
	s.store.broken.Store(true)
	r := s.grant(inForm("hospital", hospitalSecret), nil)
	trace := r.header.Get("X-Request-Id")
	if r.status != http.StatusInternalServerError || r.member("error") != "server_error" || !strings.Contains(r.body, trace) || strings.Contains(r.body, "closed") {
		t.Errorf("%+v", r)
	}
	if log := s.log.String(); !strings.Contains(log, trace) || strings.Contains(log, hospitalSecret) {
		t.Errorf("log: %s", log)
	}
}
