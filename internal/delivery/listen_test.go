package delivery_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/delivery"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// ear is a websocket of a test. Nobody reads from it when heard is full.
type ear struct {
	heard    chan string
	messages chan string
	done     chan error
}

func (e *ear) Send(ctx context.Context, text []byte) error {
	select {
	case e.heard <- string(text):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// listen opens a websocket as nobody.
func (w *world) listen() *ear {
	w.Helper()
	e := &ear{heard: make(chan string), messages: make(chan string), done: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	w.Cleanup(cancel)
	go func() { e.done <- w.service.Listen(ctx, auth.Principal{}, e, e.messages) }()
	return e
}

func (e *ear) next(t testing.TB) string {
	t.Helper()
	select {
	case text := <-e.heard:
		return text
	case err := <-e.done:
		t.Fatalf("the websocket was closed: %v", err)
	case <-time.After(patience):
		t.Fatal("nothing was heard")
	}
	return ""
}

func (w *world) bind(e *ear, ids ...string) {
	w.Helper()
	token, err := w.service.Token(context.Background(), hospitalSystem, ids)
	if err != nil {
		w.Fatal(err)
	}
	e.messages <- "bind-with-token " + token.Value
}

// A token is for minutes, and for this exchange.
func TestTokens(t *testing.T) {
	w := newWorld(t, database(t))
	w.put(hospitalSystem, sub{id: "w1", criteria: "Observation", channel: "websocket", content: "empty"}.String())
	w.put(hospitalSystem, sub{id: "h1", criteria: "Observation", endpoint: "http://127.0.0.1:9", content: "empty"}.String())
	token, err := w.service.Token(t.Context(), hospitalSystem, nil)
	if err != nil || !slices.Equal(token.Subscriptions, []string{"w1"}) {
		t.Fatalf("%+v %v", token.Subscriptions, err)
	}
	if _, err := w.service.Token(t.Context(), hospitalSystem, []string{"h1"}); err == nil {
		t.Error("a token to listen to a rest-hook")
	}
	if _, err := w.service.Token(t.Context(), clinicSystem, nil); err == nil {
		t.Error("a token for nothing")
	}
	other := worldOf(t, w.store)
	other.service.Key = []byte(strings.Repeat("x", 32))
	foreign, err := other.service.Token(t.Context(), hospitalSystem, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		token string
		after time.Duration
		want  string
	}{
		{foreign.Value, 0, `"login"`},
		{token.Value, delivery.TokenLife - 2*time.Second, `"handshake"`},
		{token.Value, 2 * time.Second, `"login"`},
	} {
		w.pass(c.after)
		e := w.listen()
		e.messages <- "bind-with-token " + c.token
		if text := e.next(t); !strings.Contains(text, c.want) {
			t.Errorf("no %s in %s", c.want, text)
		}
	}
}

// Heartbeats come on a websocket when nothing else has.
func TestHeartbeatOfAWebsocket(t *testing.T) {
	w := newWorld(t, database(t))
	w.start()
	w.put(hospitalSystem, sub{id: "w1", criteria: "Observation", channel: "websocket", content: "empty", heartbeat: 30}.String())
	w.until("w1", has("active"))
	e := w.listen()
	w.bind(e, "w1")
	if m := read(t, e.next(t)); m.kind != "handshake" {
		t.Errorf("%s", m.kind)
	}
	w.pass(29 * time.Second)
	w.put(hospitalSystem, observation("o1", 1, "final"))
	if m := read(t, e.next(t)); m.kind != "event-notification" {
		t.Errorf("%s", m.kind)
	}
	w.pass(30 * time.Second)
	if m := read(t, e.next(t)); m.kind != "heartbeat" || m.total != 1 {
		t.Errorf("%s %d", m.kind, m.total)
	}
}

// Two websockets hear every event; a third, which comes later, hears what
// nobody has heard.
func TestSeveralWebsockets(t *testing.T) {
	w := newWorld(t, database(t))
	w.start()
	w.put(hospitalSystem, sub{id: "w1", criteria: "Observation", channel: "websocket", content: "id-only"}.String())
	w.until("w1", has("active"))
	one, two := w.listen(), w.listen()
	for _, e := range []*ear{one, two} {
		w.bind(e, "w1")
		e.next(t)
	}
	for n := range 3 {
		w.put(hospitalSystem, observation("o1", n, "final"))
		for _, e := range []*ear{one, two} {
			if m := read(t, e.next(t)); !slices.Equal(m.numbers, []int64{int64(n + 1)}) {
				t.Fatalf("event %d: %v", n+1, m.numbers)
			}
		}
	}
	for _, e := range []*ear{one, two} {
		close(e.messages)
		if err := <-e.done; err != nil {
			t.Errorf("closed with %v", err)
		}
	}
	w.put(hospitalSystem, observation("o1", 9, "final"))
	three := w.listen()
	w.bind(three, "w1")
	if m := read(t, three.next(t)); m.kind != "handshake" || m.total != 4 {
		t.Errorf("%s %d", m.kind, m.total)
	}
	if m := read(t, three.next(t)); !slices.Equal(m.numbers, []int64{4}) {
		t.Errorf("%v", m.numbers)
	}
}

// A websocket whose client may no longer come hears nothing more, and one
// that is bound to nothing is closed.
func TestWebsocketEnds(t *testing.T) {
	w := newWorld(t, database(t))
	w.start()
	w.put(hospitalSystem, sub{id: "w1", criteria: "Observation", channel: "websocket", content: "full-resource"}.String())
	w.until("w1", has("active"))
	e := w.listen()
	w.bind(e, "w1")
	e.next(t)
	w.update(func(tx store.Tx) error {
		return tx.PutAccount(store.Account{Kind: "client", ID: "hospital", Login: "hospital", Organization: hospital})
	})
	w.put(hospitalSystem, observation("o1", 1, "final"))
	for {
		w.pass(2 * time.Minute)
		select {
		case text := <-e.heard:
			t.Fatalf("heard %s", text)
		case err := <-e.done:
			if err == nil || errors.Is(err, context.Canceled) {
				t.Errorf("closed with %v", err)
			}
			return
		case <-time.After(10 * time.Millisecond): // it looks at the clock when it is woken
		}
	}
}
