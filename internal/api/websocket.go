package api

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/delivery"
)

// SocketPath is where websockets of Subscriptions are opened.
const SocketPath = "/subscriptions"

const (
	socketMessage = 8 << 10          // bytes of a message that comes in
	socketWrite   = 10 * time.Second // for one message that goes out
	socketPing    = 30 * time.Second
)

// Listener serves an open websocket; delivery.Service is one.
type Listener interface {
	Listen(ctx context.Context, p auth.Principal, socket delivery.Socket, messages <-chan string) error
}

// Sockets opens the websockets of Subscriptions. Whoever opens one may come
// without credentials: what it hears is decided by the token that it binds
// with.
type Sockets struct {
	Listener Listener

	once   sync.Once
	ctx    context.Context
	cancel context.CancelFunc
	open   sync.WaitGroup
}

func (s *Sockets) prepare() {
	s.once.Do(func() { s.ctx, s.cancel = context.WithCancel(context.Background()) })
}

// Register puts the websockets on a mux.
func (s *Sockets) Register(mux *http.ServeMux) { mux.Handle("GET "+SocketPath, s) }

// Stop closes all websockets and waits until they are.
func (s *Sockets) Stop() {
	s.prepare()
	s.cancel()
	s.open.Wait()
}

// ServeHTTP opens a websocket and serves it until one side closes it.
func (s *Sockets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.prepare()
	// No cookie counts here, so that a page of another origin gains nothing.
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return // Accept has answered
	}
	s.open.Add(1)
	defer s.open.Done()
	defer func() { _ = ws.CloseNow() }()
	ws.SetReadLimit(socketMessage)
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	messages := make(chan string)
	go read(ctx, cancel, ws, messages)
	go ping(ctx, cancel, ws)
	p := auth.FromContext(r.Context())
	err = s.Listener.Listen(ctx, p, socket{ws}, messages)
	code, why := websocket.StatusNormalClosure, ""
	switch {
	case s.ctx.Err() != nil:
		code = websocket.StatusGoingAway
	case errors.Is(err, delivery.ErrFull):
		code, why = websocket.StatusTryAgainLater, delivery.ErrFull.Diagnostics
	case err != nil && fhir.CodeOf(err) == fhir.CodeException && ctx.Err() == nil:
		code = websocket.StatusPolicyViolation
	}
	_ = ws.Close(code, why)
}

// read hands over what comes in, until nothing more does.
func read(ctx context.Context, cancel context.CancelFunc, ws *websocket.Conn, messages chan<- string) {
	defer cancel()
	for {
		kind, text, err := ws.Read(ctx)
		if err != nil || kind != websocket.MessageText {
			return
		}
		select {
		case messages <- string(text):
		case <-ctx.Done():
			return
		}
	}
}

// ping ends a websocket whose peer has gone without a word.
func ping(ctx context.Context, cancel context.CancelFunc, ws *websocket.Conn) {
	tick := time.NewTicker(socketPing)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			waited, done := context.WithTimeout(ctx, socketWrite)
			err := ws.Ping(waited)
			done()
			if err != nil {
				cancel()
				return
			}
		}
	}
}

type socket struct{ ws *websocket.Conn }

// Send implements delivery.Socket.
func (s socket) Send(ctx context.Context, text []byte) error {
	ctx, cancel := context.WithTimeout(ctx, socketWrite)
	defer cancel()
	return s.ws.Write(ctx, websocket.MessageText, text)
}
