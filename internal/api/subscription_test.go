package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/delivery"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// order writes a Subscription with a websocket.
func order(id, criteria, content string) string {
	payload := ""
	if content != "" {
		payload = `,"payload":"application/fhir+json","_payload":{"extension":[{"url":"http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-payload-content","valueCode":"` + content + `"}]}`
	}
	return `{"resourceType":"Subscription","id":"` + id + `","status":"requested","reason":"to know","criteria":"` + criteria + `","channel":{"type":"websocket"` + payload + `}}`
}

// sockets serves the websockets of a server whose deliveries run.
func (s *server) sockets(t *testing.T) (service *delivery.Service, url string) {
	t.Helper()
	service, ok := s.FHIR.subs.(*delivery.Service)
	if !ok {
		t.Fatal("no deliveries")
	}
	err := s.store.Update(t.Context(), func(tx store.Tx) error {
		for _, p := range []auth.Principal{hospital, clinic} {
			if err := tx.PutAccount(store.Account{Kind: "client", ID: p.ID, Login: p.ID, Organization: p.Organization, Active: true}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	service.Poll = 10 * time.Millisecond
	if err := service.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(service.Stop)
	door := &Sockets{Listener: service}
	mux := http.NewServeMux()
	door.Register(mux)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer hospital" {
			r = r.WithContext(auth.WithPrincipal(r.Context(), hospital))
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(web.Close)
	t.Cleanup(door.Stop)
	return service, "ws" + strings.TrimPrefix(web.URL, "http") + SocketPath
}

// peer is a real client of websockets.
type peer struct {
	*testing.T
	ws *websocket.Conn
}

func dial(t *testing.T, url, bearer string) peer {
	t.Helper()
	o := &websocket.DialOptions{HTTPHeader: http.Header{}}
	if bearer != "" {
		o.HTTPHeader.Set("Authorization", "Bearer "+bearer)
	}
	ws, _, err := websocket.Dial(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.CloseNow() })
	ws.SetReadLimit(4 << 20)
	return peer{t, ws}
}

func (p peer) say(text string) {
	p.Helper()
	if err := p.ws.Write(p.Context(), websocket.MessageText, []byte(text)); err != nil {
		p.Fatal(err)
	}
}

// hear gives the next message, which must come.
func (p peer) hear() string {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), 20*time.Second)
	defer cancel()
	_, text, err := p.ws.Read(ctx)
	if err != nil {
		p.Fatal(err)
	}
	return string(text)
}

// must hears a message that has all the parts.
func (p peer) must(parts ...string) string {
	p.Helper()
	text := p.hear()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			p.Errorf("no %s in %s", part, text)
		}
	}
	return text
}

// token asks for a token to listen, as somebody.
func (s *server) token(t *testing.T, as auth.Principal, target string) string {
	t.Helper()
	w := s.do(as, "GET", Root+target, "", nil)
	var answer struct {
		Parameter []struct{ Name, ValueString, ValueUrl, ValueDateTime string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", target, w.Code, w.Body)
	}
	found := map[string]string{}
	for _, p := range answer.Parameter {
		found[p.Name] = p.ValueString + p.ValueUrl + p.ValueDateTime
	}
	if !strings.HasPrefix(found["websocket-url"], "ws") || !strings.HasSuffix(found["websocket-url"], SocketPath) || found["expiration"] == "" || found["subscription"] == "" {
		t.Errorf("the answer: %s", w.Body)
	}
	return found["token"]
}

func (s *server) mustPut(t *testing.T, as auth.Principal, target, body string) {
	t.Helper()
	if w := s.do(as, "PUT", Root+target, body, nil); w.Code >= 300 {
		t.Fatalf("PUT %s: %d %s", target, w.Code, w.Body)
	}
}

// Events reach a websocket that was bound with a token: those that came while
// nobody listened, and those that come now; of the own organisation alone.
func TestWebsocket(t *testing.T) {
	s := newServer(t)
	service, url := s.sockets(t)
	s.mustPut(t, hospital, "/Organization/"+hospital.Organization, organizationBody)
	for _, id := range []string{"w1", "w2", "w3"} {
		content := map[string]string{"w1": "full-resource", "w2": "id-only"}[id]
		s.mustPut(t, hospital, "/Subscription/"+id, order(id, "Observation?status=final", content))
	}
	s.mustPut(t, clinic, "/Subscription/c1", order("c1", "Observation", "full-resource"))
	s.mustPut(t, hospital, "/Observation/o1", observation("o1", ""))

	p := dial(t, url, "")
	p.say("bind-with-token " + s.token(t, hospital, "/Subscription/w1/$get-ws-binding-token"))
	p.must(`"handshake"`, `Subscription/w1"`, `"events-since-subscription-start","valueString":"1"`)
	p.must(`"event-notification"`, `Subscription/w1"`, `"event-number","valueString":"1"`, `"id":"o1"`, "72.00")
	p.say("bind-with-token: " + s.token(t, hospital, "/Subscription/$get-ws-binding-token?id=w2,w3"))
	p.must(`"handshake"`, `Subscription/w2"`)
	if text := p.hear(); text != "bound w3" {
		t.Errorf("a plain one: %s", text)
	}
	p.must(`"event-notification"`, `Subscription/w2"`, `"focus"`)
	if text := p.hear(); text != "ping w3" {
		t.Errorf("a plain one: %s", text)
	}
	s.mustPut(t, clinic, "/Observation/o2", observation("o2", "")) // of another organisation
	s.mustPut(t, hospital, "/Observation/o1", observation("o1", `,"language":"ms"`))
	service.Wake()
	heard := map[string]bool{}
	for range 3 {
		text := p.hear()
		if strings.Contains(text, "o2") || strings.HasPrefix(text, "{") && !strings.Contains(text, `"event-number","valueString":"2"`) {
			t.Errorf("heard %s", text)
		}
		for _, id := range []string{"w1", "w2", "w3"} {
			heard[id] = heard[id] || strings.Contains(text, id)
		}
	}
	if len(heard) != 3 || !heard["w1"] || !heard["w2"] || !heard["w3"] {
		t.Errorf("heard of %v", heard)
	}
	// A Subscription that is deleted is silent; the others go on.
	if w := s.do(hospital, "DELETE", Root+"/Subscription/w1", "", nil); w.Code >= 300 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	s.mustPut(t, hospital, "/Observation/o1", observation("o1", `,"language":"en"`))
	service.Wake()
	for range 2 {
		if text := p.hear(); strings.Contains(text, "w1") {
			t.Errorf("heard %s", text)
		}
	}
}

// Who may not listen is told so, and is sent away when it does not stop.
func TestWebsocketRefuses(t *testing.T) {
	s := newServer(t)
	_, url := s.sockets(t)
	s.mustPut(t, hospital, "/Subscription/w1", order("w1", "Observation", "empty"))
	s.mustPut(t, clinic, "/Subscription/c1", order("c1", "Observation", "empty"))
	token := s.token(t, hospital, "/Subscription/w1/$get-ws-binding-token")
	for _, c := range []struct{ bearer, text, want string }{
		{"", "bind-with-token", `"login"`},
		{"", "bind-with-token nothing", `"login"`},
		{"", "bind-with-token " + token[:len(token)-2] + "xx", `"login"`},
		{"", "bind w1", `"login"`},
		{"", "hello", `"not-supported"`},
		{"hospital", "bind c1", `"not-found"`},
		{"hospital", "bind nothing", `"not-found"`},
		{"hospital", "bind w1", `"handshake"`},
		{"hospital", "bind :w1", `"handshake"`},
	} {
		p := dial(t, url, c.bearer)
		p.say(c.text)
		if text := p.must(c.want); strings.Contains(text, token) {
			t.Errorf("the token is shown: %s", text)
		}
	}
	p := dial(t, url, "")
	for range 6 {
		p.say("bind-with-token nothing")
	}
	var err error
	for range 10 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		_, _, err = p.ws.Read(ctx)
		cancel()
		if err != nil {
			break
		}
	}
	if websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
		t.Errorf("after many bad tokens: %v", err)
	}
	// An oversized message ends the websocket.
	big := dial(t, url, "")
	big.say(strings.Repeat("x", socketMessage+1))
	if _, _, err := big.ws.Read(t.Context()); err == nil {
		t.Error("a message of any size is read")
	}
}

// The operations as a client of R4 calls them.
func TestSubscriptionOperations(t *testing.T) {
	s := newServer(t)
	s.mustPut(t, hospital, "/Organization/"+hospital.Organization, organizationBody)
	s.mustPut(t, hospital, "/Subscription/w1", order("w1", "Observation", "full-resource"))
	s.mustPut(t, hospital, "/Subscription/w2", order("w2", "Patient", ""))
	for i := range 3 {
		s.mustPut(t, hospital, "/Observation/o1", observation("o1", `,"language":"`+string(rune('a'+i))+`b"`))
	}
	parameters := func(name, value string) string {
		return `{"resourceType":"Parameters","parameter":[{"name":"` + name + `","valueString":"` + value + `"}]}`
	}
	for _, c := range []struct {
		name, method, target, body string
		as                         auth.Principal
		status                     int
		has, lacks                 string // parts divided by " & "
	}{
		{"one state", "GET", "/Subscription/w1/$status", "", hospital, 200, `"searchset" & "total":1 & "query-status" & "requested" & "valueString":"3"`, `"w2`},
		{"all states", "GET", "/Subscription/$status", "", hospital, 200, `"total":2 & Subscription/w1 & Subscription/w2`, ""},
		{"states by id", "GET", "/Subscription/$status?id=w2", "", hospital, 200, `"total":1 & Subscription/w2`, "Subscription/w1"},
		{"states by several ids", "GET", "/Subscription/$status?id=w2&id=w1&id=none", "", hospital, 200, `"total":2`, ""},
		{"states by status", "GET", "/Subscription/$status?status=active,error", "", hospital, 200, `"total":0`, "Subscription/w1"},
		{"states by POST", "POST", "/Subscription/$status", parameters("id", "w1"), hospital, 200, `"total":1`, "Subscription/w2"},
		{"no states of others", "GET", "/Subscription/$status", "", clinic, 200, `"total":0`, "Subscription/w1"},
		{"no state of others", "GET", "/Subscription/w1/$status", "", clinic, 404, `"not-found"`, ""},
		{"all events", "GET", "/Subscription/w1/$events", "", hospital, 200, `"history" & "query-event" & "event-number","valueString":"1" & "event-number","valueString":"3" & "language":"cb"`, ""},
		{"events since", "GET", "/Subscription/w1/$events?eventsSinceNumber=3", "", hospital, 200, `"event-number","valueString":"3"`, `"event-number","valueString":"2"`},
		{"events from and to", "GET", "/Subscription/w1/$events?eventsSinceNumber=2&eventsUntilNumber=2", "", hospital, 200, `"event-number","valueString":"2"`, `"event-number","valueString":"3"`},
		{"events without content", "GET", "/Subscription/w1/$events?content=empty", "", hospital, 200, `"event-number","valueString":"1"`, `"focus" & "o1"`},
		{"events by id", "POST", "/Subscription/w1/$events", parameters("content", "id-only"), hospital, 200, `"focus"`, `"language"`},
		{"no event there", "GET", "/Subscription/w1/$events?eventsSinceNumber=4", "", hospital, 200, `"query-event"`, `"notification-event"`},
		{"no number", "GET", "/Subscription/w1/$events?eventsSinceNumber=x", "", hospital, 400, `"invalid"`, ""},
		{"no content of that kind", "GET", "/Subscription/w1/$events?content=all", "", hospital, 400, `"invalid"`, ""},
		{"no events of others", "GET", "/Subscription/w1/$events", "", clinic, 404, `"not-found"`, "o1"},
		{"no events of a type", "GET", "/Subscription/$events", "", hospital, 404, `"OperationOutcome"`, ""},
		{"no token of others", "GET", "/Subscription/w1/$get-ws-binding-token", "", clinic, 404, `"not-found"`, `"token"`},
		{"a topic", "GET", "/SubscriptionTopic/hie.vc.encounter", "", hospital, 200, `"Basic" & /SubscriptionTopic/hie.vc.encounter & "SubscriptionTopic"`, ""},
		{"all topics", "GET", "/SubscriptionTopic", "", hospital, 200, `"total":2 & hie.vc.appointment`, ""},
		{"no such topic", "GET", "/SubscriptionTopic/x", "", hospital, 404, `"not-found"`, ""},
		{"topics need a token", "GET", "/SubscriptionTopic", "", auth.Principal{}, 401, `"login"`, ""},
		{"the statement has the topics", "GET", "/metadata", "", auth.Principal{}, 200, `capabilitystatement-subscriptiontopic-canonical","valueCanonical":"` + testBase + `/SubscriptionTopic/hie.vc.encounter" & capabilitystatement-websocket`, ""},
		{"a filter that is not known", "PUT", "/Subscription/w9", order("w9", "Observation?colour=red", "empty"), hospital, 422, "colour", ""},
		{"a topic that is not known", "PUT", "/Subscription/w9", order("w9", testBase+"/SubscriptionTopic/x", "empty"), hospital, 422, "hie.vc.encounter", ""},
		{"judged beforehand", "POST", "/Subscription/$validate?mode=create", strings.Replace(order("w9", "Observation?colour=red", "empty"), `"id":"w9",`, "", 1), hospital, 200, "colour", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := s.do(c.as, c.method, Root+c.target, c.body, nil)
			if w.Code != c.status {
				t.Fatalf("%d, want %d: %s", w.Code, c.status, w.Body)
			}
			for part := range strings.SplitSeq(c.has, " & ") {
				if !strings.Contains(w.Body.String(), part) {
					t.Errorf("no %s in %s", part, w.Body)
				}
			}
			for part := range strings.SplitSeq(c.lacks, " & ") {
				if part != "" && strings.Contains(w.Body.String(), part) {
					t.Errorf("%s in %s", part, w.Body)
				}
			}
			if _, err := fhir.ParseWithin(w.Body.Bytes(), answerLimits); err != nil {
				t.Error(err)
			}
		})
	}
}
