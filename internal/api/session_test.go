package api

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/mycore"
)

const sessions = "/jitsi/v1/sessions"

// TestSessionFromBeginningToEnd is what a source system does.
func TestSessionFromBeginningToEnd(t *testing.T) {
	s := newSystems(t)
	token := s.token("hospital", hospitalSecret)

	made := s.do("POST", sessions, token, `{"serviceType":"VCE","title":"Diabetes class"}`, nil)
	id := made.member("token")
	if made.status != http.StatusCreated || !mycore.ValidToken(id) || made.header.Get("Location") != sessions+"/"+id {
		t.Fatalf("created %+v", made)
	}
	if got := made.header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control %q", got)
	}
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		contains, excludes       string
	}{
		{"read", "GET", "", "", 200, `"status":"created" & "serviceType":"VCE" & "title":"Diabetes class" & "createdAt":"2026-11-23T & "participants":[{"id":"practitioner-1","name":"Dr. Farid","role":"practitioner"}]`, "activatedAt"},
		{"head", "HEAD", "", "", 200, "", "token"},
		{"join", "GET", "/join?role=practitioner&name=Dr.+Farid", "", 200, `"joinUrl":"https://meet.example/vc- & "jwt":"x" & "domain":"meet.example" & "room":"vc- & "expiresAt":"2026-11-23T09:05:00Z"`, id},
		{"activate", "PATCH", "", `{"status":"active"}`, 200, `"status":"active" & "activatedAt":"2026`, "endedAt"},
		{"activate again", "PATCH", "", `{"status":"active"}`, 200, `"status":"active"`, ""},
		{"end", "PATCH", "", `{"status":"ended"}`, 200, `"status":"ended" & "endedAt":"2026 & "participants":[]`, ""},
		{"end again", "PATCH", "", `{"status":"ended"}`, 200, `"status":"ended"`, ""},
		{"activate after the end", "PATCH", "", `{"status":"active"}`, 422, `"code":"business-rule"`, id},
		{"join after the end", "GET", "/join?role=practitioner&name=Dr.+Farid", "", 422, `has ended`, "jwt"},
		{"read after the end", "GET", "", "", 200, `"status":"ended"`, ""},
	} {
		r := s.do(c.method, sessions+"/"+id+c.path, token, c.body, nil)
		if r.status != c.status {
			t.Errorf("%s: status %d, want %d: %s", c.name, r.status, c.status, r.body)
		}
		for want := range strings.SplitSeq(c.contains, " & ") {
			if !strings.Contains(r.body, want) {
				t.Errorf("%s: %s lacks %s", c.name, r.body, want)
			}
		}
		if c.excludes != "" && strings.Contains(r.body, c.excludes) {
			t.Errorf("%s: %s has %s", c.name, r.body, c.excludes)
		}
	}
	if len(s.calls.ended) == 0 {
		t.Error("the call goes on")
	}
	if log := s.log.String(); strings.Contains(log, id) || strings.Contains(log, token) || strings.Contains(log, "Farid") {
		t.Errorf("the log shows a token or a name:\n%s", log)
	}
	if log := s.log.String(); !strings.Contains(log, `"route":"/jitsi/v1/sessions/{token}/join"`) {
		t.Errorf("the log does not name the route:\n%s", log)
	}
}

func TestNewSessionNeedsNoBody(t *testing.T) {
	s := newSystems(t)
	r := s.do("POST", sessions, s.token("hospital", hospitalSecret), "", nil)
	if r.status != http.StatusCreated || !strings.Contains(r.body, `"serviceType":"VCE"`) {
		t.Errorf("created %+v", r)
	}
}

func TestSessionRefusals(t *testing.T) {
	s := newSystems(t)
	hospital, clinic, reader := s.token("hospital", hospitalSecret), s.token("clinic", clinicSecret), s.token("reader", readerSecret)
	one := sessions + "/" + s.do("POST", sessions, hospital, "", nil).member("token")
	unknown := sessions + "/00000000-0000-4000-8000-000000000000"
	form := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	for _, c := range []struct {
		name, method, path, token, body string
		header                          map[string]string
		status                          int
		words                           string
	}{
		{"create as nobody", "POST", sessions, "", "{}", nil, 401, "needs an access token"},
		{"create with a bad token", "POST", sessions, "abc", "{}", nil, 401, "access token is not valid"},
		{"create without the scope", "POST", sessions, reader, "{}", nil, 403, `"forbidden"`},
		{"create without the scope, with any body", "POST", sessions, reader, "nonsense", nil, 403, `"forbidden"`},
		{"create of another type", "POST", sessions, hospital, `{"serviceType":"XYZ"}`, nil, 422, "VCI, VCE, VCMDT or VCD"},
		{"create with a long title", "POST", sessions, hospital, `{"title":"` + strings.Repeat("x", 121) + `"}`, nil, 422, "120"},
		{"create with a title on two lines", "POST", sessions, hospital, `{"title":"a\nb"}`, nil, 422, "one line"},
		{"create with what is not known", "POST", sessions, hospital, `{"room":"mine"}`, nil, 400, "member room is not known"},
		{"create with a number as title", "POST", sessions, hospital, `{"title":7}`, nil, 400, "title has a value of the wrong kind"},
		{"create with null", "POST", sessions, hospital, `null`, nil, 400, "JSON object"},
		{"create with an array", "POST", sessions, hospital, `[{}]`, nil, 400, "JSON object"},
		{"create with more than an object", "POST", sessions, hospital, `{}{}`, nil, 400, "text after"},
		{"create with half an object", "POST", sessions, hospital, `{"title":"a`, nil, 400, "JSON object"},
		{"create with too much", "POST", sessions, hospital, `{"title":"` + strings.Repeat("x", 64<<10) + `"}`, nil, 413, "65536 bytes"},
		{"create with a form", "POST", sessions, hospital, "title=x", form, 415, "application/json"},
		{"create with what has no type", "POST", sessions, hospital, "{}", map[string]string{"Content-Type": ""}, 415, "application/json"},
		{"list", "GET", sessions, hospital, "", nil, 405, "POST only"},
		{"delete", "DELETE", one, hospital, "", nil, 405, "GET, PATCH only"},
		{"another address", "GET", "/jitsi/v2/sessions", hospital, "", nil, 404, "nothing at this address"},
		{"read as nobody", "GET", one, "", "", nil, 401, "needs an access token"},
		{"read by another organisation", "GET", one, clinic, "", nil, 404, "no session with this token"},
		{"read without the scope", "GET", one, reader, "", nil, 403, `"forbidden"`},
		{"read of an unknown session", "GET", unknown, hospital, "", nil, 404, "no session with this token"},
		{"read of what is no token", "GET", sessions + "/'; --", hospital, "", nil, 404, "no session with this token"},
		{"activate as nobody", "PATCH", one, "", `{"status":"active"}`, nil, 401, "needs an access token"},
		{"activate by another organisation", "PATCH", one, clinic, `{"status":"active"}`, nil, 404, "no session with this token"},
		{"activate without the scope", "PATCH", one, reader, `{"status":"active"}`, nil, 403, `"forbidden"`},
		{"activate an unknown session", "PATCH", unknown, hospital, `{"status":"active"}`, nil, 404, "no session with this token"},
		{"end by another organisation", "PATCH", one, clinic, `{"status":"ended"}`, nil, 404, "no session with this token"},
		{"back to the beginning", "PATCH", one, hospital, `{"status":"created"}`, nil, 422, "active or ended"},
		{"to nothing", "PATCH", one, hospital, `{}`, nil, 422, "active or ended"},
		{"without a body", "PATCH", one, hospital, "", map[string]string{"Content-Type": mediaJSON}, 400, "JSON object"},
		{"a patch of another kind", "PATCH", one, hospital, `{"status":"active"}`, map[string]string{"Content-Type": "text/plain"}, 415, "application/json"},
		{"more than a status", "PATCH", one, hospital, `{"status":"active","title":"x"}`, nil, 400, "member title is not known"},
		{"join as nobody", "GET", one + "/join?role=practitioner&name=Dr", "", "", nil, 401, "needs an access token"},
		{"join as a patient", "GET", one + "/join?role=patient&name=Aminah", hospital, "", nil, 403, "Patients join through RekodSaya."},
		{"join as something else", "GET", one + "/join?role=moderator&name=Dr", hospital, "", nil, 422, "must be practitioner"},
		{"join without a name", "GET", one + "/join?role=practitioner&name=%20", hospital, "", nil, 422, "name to show"},
		{"join with a long name", "GET", one + "/join?role=practitioner&name=" + strings.Repeat("x", 81), hospital, "", nil, 422, "80 characters"},
		{"join with a hidden name", "GET", one + "/join?role=practitioner&name=a%0Ab", hospital, "", nil, 422, "name to show"},
		{"join by another organisation", "GET", one + "/join?role=practitioner&name=Dr", clinic, "", nil, 404, "no session with this token"},
		{"join without the scope", "GET", one + "/join?role=practitioner&name=Dr", reader, "", nil, 403, `"forbidden"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := s.written()
			wantOutcome(t, s.do(c.method, strings.ReplaceAll(c.path, " ", "%20"), c.token, c.body, c.header), c.status, c.words)
			if after := s.written(); after != before {
				t.Errorf("something was written:\n%s\nbefore:\n%s", after, before)
			}
		})
	}
	if len(s.calls.joined) != 0 || len(s.calls.ended) != 0 {
		t.Errorf("the video system was told: %v %v", s.calls.joined, s.calls.ended)
	}
}

func TestWhoJoins(t *testing.T) {
	s := newSystems(t)
	token := s.token("hospital", hospitalSecret)
	path := sessions + "/" + s.do("POST", sessions, token, "", nil).member("token") + "/join?role=practitioner"
	join := func(query string) string {
		t.Helper()
		if r := s.do("GET", path+query, token, "", nil); r.status != http.StatusOK {
			t.Fatalf("join: %+v", r)
		}
		return s.calls.joined[len(s.calls.joined)-1].ID
	}
	farid := join("&name=Dr.+Farid")
	if again := join("&name=+Dr.+Farid+"); again != farid {
		t.Error("who comes back by name is somebody else")
	}
	if other := join("&name=Dr.+Mei"); other == farid {
		t.Error("two people are one")
	}
	if byID := join("&name=Dr.+Farid&id=7"); byID == farid || byID != join("&name=Farid&id=7") {
		t.Error("the id that the source system gives does not count")
	}
	if strings.Contains(farid, "Farid") {
		t.Errorf("the id shows the name: %s", farid)
	}
}

// TestFaultsShowNothing breaks the video system and then the database.
func TestFaultsShowNothing(t *testing.T) {
	s := newSystems(t)
	token := s.token("hospital", hospitalSecret)
	path := sessions + "/" + s.do("POST", sessions, token, "", nil).member("token")
	s.calls.broken = errors.New("secret detail of the video system")
	for _, broken := range []func(){func() {}, func() { s.store.broken.Store(true) }} {
		broken()
		r := s.do("GET", path+"/join?role=practitioner&name=Dr", token, "", nil)
		trace := r.header.Get("X-Request-Id")
		wantOutcome(t, r, http.StatusInternalServerError, trace)
		if strings.Contains(r.body, "detail") || strings.Contains(r.body, "closed") || len(trace) != 32 {
			t.Errorf("shown: %s, trace %q", r.body, trace)
		}
		if !strings.Contains(s.log.String(), trace) {
			t.Error("the log does not have the fault")
		}
	}
	if !strings.Contains(s.log.String(), "secret detail of the video system") {
		t.Error("the log does not say what was wrong")
	}
}
