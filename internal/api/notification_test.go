package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/store"
)

const (
	loginPath        = "/api/v2/user/session"
	notificationPath = "/api/v2/notification-script"
	loginBody        = `{"email":"htj@source.example","password":"` + hospitalPW + `"}`
)

// message gives the body of a message to patients.
func message(title string, ids ...string) string {
	return string(fhir.Marshal(map[string]any{"title": title, "body": "Dr. Farid is waiting for you.", "patientIds": ids}))
}

// inbox gives the titles of a person's messages.
func (s *systems) inbox(number string) (titles []string) {
	s.Helper()
	err := s.store.View(s.Context(), func(r store.Reader) error {
		list, err := r.Notifications(number, 1000)
		for _, n := range list {
			titles = append(titles, n.Title)
		}
		return err
	})
	if err != nil {
		s.Fatal(err)
	}
	return titles
}

func TestNotifierSession(t *testing.T) {
	s := newSystems(t)
	for _, c := range []struct{ name, body string }{
		{"as registered", loginBody},
		{"an e-mail in other letters", strings.Replace(loginBody, "htj@source", " HTJ@Source", 1)},
	} {
		r := s.do("POST", loginPath, "", c.body, nil)
		if r.status != http.StatusOK || r.header.Get("Cache-Control") != "no-store" || r.header.Get("Content-Type") != mediaJSON {
			t.Fatalf("%s: %+v", c.name, r)
		}
		if at, err := time.Parse(time.RFC3339, r.member("expiresAt")); err != nil || !at.Equal(s.clock().Add(auth.TokenLife)) {
			t.Errorf("%s: expires at %q", c.name, r.member("expiresAt"))
		}
		p, err := s.tokens.Verify(t.Context(), r.member("token"))
		if err != nil || p.Organization != hospitalID || strings.Join(p.Scopes, " ") != "notify" {
			t.Errorf("%s: the token is that of %+v, %v", c.name, p, err)
		}
	}
}

// The token of either token endpoint sends messages; that of this one does
// nothing else.
func TestWhoNotifies(t *testing.T) {
	s := newSystems(t)
	notifier := s.do("POST", loginPath, "", loginBody, nil).member("token")
	client := s.grant(inForm("hospital", hospitalSecret), nil).member("access_token")
	narrow := s.grant(inForm("hospital", hospitalSecret)+"&scope=notify", nil).member("access_token")
	for i, token := range []string{notifier, client, narrow} {
		r := s.do("POST", notificationPath, token, message(fmt.Sprintf("message %d", i), aminah), nil)
		if want := `{"results":[{"patientId":"` + aminah + `","status":"delivered"}]}`; r.status != http.StatusOK || r.body != want {
			t.Errorf("token %d: %+v", i, r)
		}
	}
	got := s.inbox(aminah)
	slices.Sort(got)
	if !slices.Equal(got, []string{"message 0", "message 1", "message 2"}) {
		t.Errorf("the inbox has %q", got)
	}
	for _, c := range []struct{ method, path, body string }{
		{"GET", Root + "/Patient/aminah", ""},
		{"GET", Root + "/Organization/x", ""},
		{"POST", sessions, "{}"},
	} {
		wantOutcome(t, s.do(c.method, c.path, notifier, c.body, nil), http.StatusForbidden, `"forbidden"`)
	}
	s.pass(auth.TokenLife)
	wantOutcome(t, s.do("POST", notificationPath, notifier, message("late", aminah), nil), http.StatusUnauthorized, `"expired"`)
}

// Every id gets its own answer, in the order in which it came.
func TestNotificationResults(t *testing.T) {
	s := newSystems(t)
	token := s.token("hospital", hospitalSecret)
	ids := []string{siti, "nobody", aminah, "850712-05-5018", aminah, "", "920202022222"}
	r := s.do("POST", notificationPath, token, message("Your consultation begins", ids...), nil)
	var got struct {
		Results []struct{ PatientID, Status string }
	}
	if err := json.Unmarshal([]byte(r.body), &got); err != nil || r.status != http.StatusOK || len(got.Results) != len(ids) {
		t.Fatalf("%v, %+v", err, r)
	}
	want := []string{"not-activated", "unknown", "delivered", "delivered", "delivered", "unknown", "unknown"}
	for i, result := range got.Results {
		if result.PatientID != ids[i] || result.Status != want[i] {
			t.Errorf("result %d is %+v, want %q %s", i, result, ids[i], want[i])
		}
	}
	if list := s.inbox(aminah); len(list) != 1 || list[0] != "Your consultation begins" {
		t.Errorf("the inbox has %q", list)
	}
	if list := s.inbox(siti); len(list) != 0 {
		t.Errorf("who has not activated RekodSaya got %q", list)
	}

	// Another organisation does not know these people, and learns nothing
	// about them.
	r = s.do("POST", notificationPath, s.token("clinic", clinicSecret), message("Hello", aminah, siti), nil)
	if r.status != http.StatusOK || strings.Count(r.body, `"unknown"`) != 2 {
		t.Errorf("another organisation: %+v", r)
	}
	if list := s.inbox(aminah); len(list) != 1 {
		t.Errorf("another organisation wrote: %q", list)
	}
}

func TestNotificationIsSentOnceForAKey(t *testing.T) {
	s := newSystems(t)
	token := s.token("hospital", hospitalSecret)
	key := map[string]string{"Idempotency-Key": "appointment-7/reminder"}
	send := func(token, title string, header map[string]string, ids ...string) reply {
		return s.do("POST", notificationPath, token, message(title, ids...), header)
	}
	first := send(token, "first", key, aminah, siti)
	for range 3 {
		if again := send(token, "first", key, aminah, siti); again.status != http.StatusOK || again.body != first.body {
			t.Errorf("again: %+v, first: %s", again, first.body)
		}
	}
	if list := s.inbox(aminah); len(list) != 1 {
		t.Fatalf("the inbox has %q", list)
	}
	for name, r := range map[string]reply{
		"another text":    send(token, "second", key, aminah, siti),
		"other patients":  send(token, "first", key, aminah),
		"in other orders": send(token, "first", key, siti, aminah),
	} {
		t.Run(name, func(t *testing.T) { wantOutcome(t, r, http.StatusConflict, "new one") })
	}
	if list := s.inbox(aminah); len(list) != 1 {
		t.Errorf("the inbox has %q", list)
	}
	for name, r := range map[string]reply{
		"another key":         send(token, "first", map[string]string{"Idempotency-Key": "other"}, aminah, siti),
		"no key":              send(token, "first", nil, aminah, siti),
		"no key once more":    send(token, "first", nil, aminah, siti),
		"the key of a clinic": send(s.token("clinic", clinicSecret), "theirs", key, aminah),
	} {
		if r.status != http.StatusOK {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if list := s.inbox(aminah); len(list) != 4 {
		t.Errorf("the inbox has %q", list)
	}
}

func TestNotificationLimits(t *testing.T) {
	s := newSystems(t)
	token := s.token("hospital", hospitalSecret)
	many := func(n int) string { return string(fhir.Marshal(strings.Split(strings.Repeat("x,", n-1)+aminah, ","))) }
	letters := func(n int) string { return strings.Repeat("心", n) } // characters count, not bytes
	for _, c := range []struct {
		name, title, body, ids string
		key                    string
		status                 int
		words                  string
	}{
		{"the longest title", letters(120), "b", many(1), "", 200, ""},
		{"a longer title", letters(121), "b", many(1), "", 422, "120 characters"},
		{"no title", " ", "b", many(1), "", 422, "title"},
		{"a title on two lines", "a\nb", "b", many(1), "", 422, "one line"},
		{"a title that turns around", "a\u202eb", "b", many(1), "", 422, "title"},
		{"the longest body", "a", letters(1000), many(1), "", 200, ""},
		{"a longer body", "a", letters(1001), many(1), "", 422, "1000 characters"},
		{"a body on two lines", "a", "b\nc", many(1), "", 200, ""},
		{"a hidden character", "a", "b\u0007", many(1), "", 422, "hidden"},
		{"no body", "a", "", many(1), "", 422, "body"},
		{"as many patients as can be", "a", "b", many(500), "", 200, ""},
		{"one more", "a", "b", many(501), "", 422, "500 patients"},
		{"no patients", "a", "b", "[]", "", 422, "500 patients"},
		{"the longest key", "a", "b", many(1), strings.Repeat("k", 200), 200, ""},
		{"a longer key", "a", "b", many(1), strings.Repeat("k", 201), 422, "Idempotency-Key"},
		{"a key with a space", "a", "b", many(1), "k k", 422, "Idempotency-Key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := len(s.inbox(aminah))
			body := `{"title":` + string(fhir.Marshal(c.title)) + `,"body":` + string(fhir.Marshal(c.body)) + `,"patientIds":` + c.ids + `}`
			r := s.do("POST", notificationPath, token, body, map[string]string{"Idempotency-Key": c.key})
			sent := len(s.inbox(aminah)) - before
			if c.status == http.StatusOK {
				if r.status != c.status || sent != 1 {
					t.Errorf("%d messages sent: %+v", sent, r)
				}
				return
			}
			wantOutcome(t, r, c.status, c.words)
			if sent != 0 {
				t.Errorf("%d messages were sent", sent)
			}
		})
	}
}

func TestNotificationRefusals(t *testing.T) {
	s := newSystems(t)
	token, reader := s.token("hospital", hospitalSecret), s.token("reader", readerSecret)
	good := message("a", aminah)
	for _, c := range []struct {
		name, method, path, token, body string
		header                          map[string]string
		status                          int
		words                           string
	}{
		{"log in with a wrong password", "POST", loginPath, "", strings.Replace(loginBody, hospitalPW, "guess", 1), nil, 401, `"login"`},
		{"log in as nobody", "POST", loginPath, "", strings.Replace(loginBody, "htj@", "nobody@", 1), nil, 401, `"login"`},
		{"log in as a client", "POST", loginPath, "", `{"email":"hospital","password":"` + hospitalSecret + `"}`, nil, 401, `"login"`},
		{"log in with nothing", "POST", loginPath, "", `{}`, nil, 401, `"login"`},
		{"log in with no body", "POST", loginPath, "", "", map[string]string{"Content-Type": mediaJSON}, 400, "JSON object"},
		{"log in with a number", "POST", loginPath, "", `{"email":7}`, nil, 400, "email has a value of the wrong kind"},
		{"log in with more", "POST", loginPath, "", `{"email":"a","password":"b","otp":"c"}`, nil, 400, "member otp is not known"},
		{"log in with a form", "POST", loginPath, "", "email=a", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, 415, "application/json"},
		{"log in with too much", "POST", loginPath, "", `{"email":"` + strings.Repeat("x", maxSmallBody) + `"}`, nil, 413, "65536 bytes"},
		{"log in by address", "GET", loginPath + "?email=a", "", "", nil, 405, "POST only"},
		{"send as nobody", "POST", notificationPath, "", good, nil, 401, "needs an access token"},
		{"send with a bad token", "POST", notificationPath, token[:len(token)-1], good, nil, 401, "token is not valid"},
		{"send with basic credentials", "POST", notificationPath, "", good, basic("hospital", hospitalSecret), 401, "needs an access token"},
		{"send without the scope", "POST", notificationPath, reader, good, nil, 403, `"forbidden"`},
		{"send without the scope, with any body", "POST", notificationPath, reader, "nonsense", nil, 403, `"forbidden"`},
		{"send nothing", "POST", notificationPath, token, "", map[string]string{"Content-Type": mediaJSON}, 400, "JSON object"},
		{"send half an object", "POST", notificationPath, token, good[:len(good)-5], nil, 400, "JSON object"},
		{"send an array", "POST", notificationPath, token, "[" + good + "]", nil, 400, "JSON object"},
		{"send two objects", "POST", notificationPath, token, good + good, nil, 400, "text after"},
		{"send to one who is no list", "POST", notificationPath, token, `{"title":"a","body":"b","patientIds":"x"}`, nil, 400, "patientIds has a value of the wrong kind"},
		{"send to numbers", "POST", notificationPath, token, `{"title":"a","body":"b","patientIds":[` + aminah + `]}`, nil, 400, "patientIds has a value of the wrong kind"},
		{"send with what is not known", "POST", notificationPath, token, strings.Replace(good, `"title"`, `"urgent":true,"title"`, 1), nil, 400, "member urgent is not known"},
		{"send text that is no UTF-8", "POST", notificationPath, token, strings.Replace(good, `"a"`, "\"caf\xe9\"", 1), nil, 400, "UTF-8"},
		{"send in another charset", "POST", notificationPath, token, good, map[string]string{"Content-Type": "application/json; charset=iso-8859-1"}, 415, "application/json"},
		{"send text", "POST", notificationPath, token, good, map[string]string{"Content-Type": "text/plain"}, 415, "application/json"},
		{"send too much", "POST", notificationPath, token, `{"title":"` + strings.Repeat("x", maxSmallBody) + `"}`, nil, 413, "65536 bytes"},
		{"list messages", "GET", notificationPath, token, "", nil, 405, "POST only"},
		{"take a message back", "DELETE", notificationPath, token, "", nil, 405, "POST only"},
		{"an older version", "POST", "/api/v1/notification-script", token, good, nil, 404, "nothing at this address"},
		{"below the address", "POST", notificationPath + "/1", token, good, nil, 404, "nothing at this address"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := s.written()
			wantOutcome(t, s.do(c.method, c.path, c.token, c.body, c.header), c.status, c.words)
			if after := s.written(); after != before {
				t.Errorf("something was written:\n%s\nbefore:\n%s", after, before)
			}
		})
	}
}

// Whoever tries passwords must wait.
func TestNotifierAttemptsAreLimited(t *testing.T) {
	s := newSystems(t)
	wrong := strings.Replace(loginBody, hospitalPW, "guess", 1)
	r := s.do("POST", loginPath, "", wrong, nil)
	for attempts := 1; r.status == http.StatusUnauthorized && attempts < 100; attempts++ {
		r = s.do("POST", loginPath, "", wrong, nil)
	}
	wantOutcome(t, r, http.StatusTooManyRequests, `"throttled"`)
	wait, err := time.ParseDuration(r.header.Get("Retry-After") + "s")
	if err != nil || wait <= 0 {
		t.Fatalf("Retry-After %q", r.header.Get("Retry-After"))
	}
	s.pass(wait)
	if r := s.do("POST", loginPath, "", loginBody, nil); r.status != http.StatusOK {
		t.Errorf("after the time that Retry-After names: %+v", r)
	}
}
