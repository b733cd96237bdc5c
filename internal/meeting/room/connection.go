package room

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"github.com/jumpa-hie/jumpa/internal/meeting/room/signal"
)

const (
	enterTimeout   = 10 * time.Second
	admitTimeout   = 5 * time.Second
	endTimeout     = 20 * time.Second
	writeTimeout   = 10 * time.Second
	pingInterval   = 10 * time.Second
	maxEnterSize   = 8 << 10
	maxMessageSize = 256 << 10 // the answer of a full room
	messagesPerSec = 20
	messagesBurst  = 60
	outgoing       = 256
)

// connection is one WebSocket that has entered. Three goroutines serve it:
// the reader (the HTTP handler), the writer, and the negotiator of its media.
type connection struct {
	call   *call
	who    *claims // as this socket entered
	seat   *seat
	ws     *websocket.Conn
	ctx    context.Context
	cancel context.CancelFunc

	out       chan signal.Message
	last      chan signal.Message // the message before the close
	dirty     chan struct{}       // something else is to be received
	answers   chan signal.Message
	restarts  chan struct{}
	soundOnly atomic.Bool

	ticketMu sync.Mutex
	ticketAt time.Time
}

func newConnection(ctx context.Context, c *call, who *claims, ws *websocket.Conn) *connection {
	conn := &connection{
		call: c, who: who, ws: ws,
		out: make(chan signal.Message, outgoing), last: make(chan signal.Message, 1), dirty: make(chan struct{}, 1),
		answers: make(chan signal.Message, 1), restarts: make(chan struct{}, 1),
	}
	conn.ctx, conn.cancel = context.WithCancel(ctx)
	return conn
}

// send queues a message; a participant that does not read is dropped.
func (conn *connection) send(m signal.Message) {
	select {
	case conn.out <- m:
	default:
		conn.cancel()
	}
}

// finish sends what is queued, then m (unless its Type is empty), and closes.
func (conn *connection) finish(m signal.Message) {
	select {
	case conn.last <- m:
	default: // finished already
	}
}

// touch makes the negotiator compare what is received with what there is.
func (conn *connection) touch() {
	select {
	case conn.dirty <- struct{}{}:
	default:
	}
}

// newTicket mints a resume ticket of this moment.
func (conn *connection) newTicket() string {
	r, now := conn.call.room, conn.call.room.opts.Clock()
	conn.ticketMu.Lock()
	conn.ticketAt = now
	conn.ticketMu.Unlock()
	ticket, err := r.mint(audienceResume, conn.call.name, conn.who.person(), now, resumeLifetime)
	if err != nil {
		r.opts.Log.Error("resume ticket", "error", err)
	}
	return ticket
}

// renewTicket keeps the ticket on the page good for two minutes from now.
func (conn *connection) renewTicket(now time.Time) {
	conn.ticketMu.Lock()
	due := now.Sub(conn.ticketAt) >= ticketInterval
	conn.ticketMu.Unlock()
	if due {
		conn.send(signal.Message{Type: signal.Ticket, Ticket: conn.newTicket()})
	}
}

// serveSocket is the signalling of one participant, from entry to the end.
func (r *Room) serveSocket(w http.ResponseWriter, req *http.Request) {
	room := req.PathValue("room")
	service, ok := r.begin()
	if !ok || !roomName.MatchString(room) {
		if ok {
			r.sockets.Done()
		}
		http.Error(w, reasons[codeUnavailable], http.StatusServiceUnavailable)
		return
	}
	defer r.sockets.Done()
	select {
	case r.waiting <- struct{}{}:
	default:
		http.Error(w, reasons[codeUnavailable], http.StatusServiceUnavailable)
		return
	}
	entered := sync.OnceFunc(func() { <-r.waiting })
	defer entered()

	ws, err := websocket.Accept(w, req, &websocket.AcceptOptions{OriginPatterns: []string{hostOf(r.opts.PublicURL())}})
	if err != nil {
		return // Accept has answered
	}
	defer func() { _ = ws.CloseNow() }()
	ctx, cancel := context.WithCancel(service)
	defer cancel()
	conn, err := r.admit(ctx, room, ws)
	if err != nil {
		refuse(ctx, ws, asRefusal(err))
		return
	}
	entered()
	conn.serve()
}

// refuse says why and closes.
func refuse(ctx context.Context, ws *websocket.Conn, why *refused) {
	if write(ctx, ws, signal.Message{Type: signal.Refused, Code: why.code, Reason: why.reason}) == nil {
		_ = ws.Close(websocket.StatusPolicyViolation, why.code)
	}
}

// admit reads the first message and takes the seat.
func (r *Room) admit(ctx context.Context, room string, ws *websocket.Conn) (*connection, error) {
	ws.SetReadLimit(maxEnterSize)
	waitCtx, cancel := context.WithTimeout(ctx, enterTimeout)
	defer cancel()
	m, err := read(waitCtx, ws)
	if err != nil || m.Type != signal.Enter {
		return nil, refusal(codeInvalid)
	}
	who, err := r.identify(room, m.JWT, m.Ticket)
	if err != nil {
		return nil, err
	}
	admission := r.currentAdmission()
	if admission == nil {
		return nil, refusal(codeUnavailable)
	}
	askCtx, done := context.WithTimeout(ctx, admitTimeout)
	defer done()
	if err := admission.Admit(askCtx, room, who.person()); err != nil {
		return nil, fromAdmission(codeNotAdmitted, err)
	}
	c, err := r.open(room)
	if err != nil {
		return nil, err
	}
	conn := newConnection(ctx, c, who, ws)
	if err := c.enter(conn, m.Audio, m.Video); err != nil {
		conn.cancel()
		if r.hasEnded(room) {
			return nil, refusal(codeEnded)
		}
		return nil, err
	}
	return conn, nil
}

// serve runs the connection until either side closes it.
func (conn *connection) serve() {
	var tasks sync.WaitGroup
	tasks.Go(conn.write)
	tasks.Go(func() { newNegotiator(conn).run() })
	conn.ws.SetReadLimit(maxMessageSize)
	left := conn.read()
	conn.call.lost(conn, left)
	conn.cancel()
	tasks.Wait()
}

// read carries out what the participant asks. It reports whether the person
// left, in contrast to a connection that broke.
func (conn *connection) read() (left bool) {
	limiter := rate.NewLimiter(messagesPerSec, messagesBurst)
	for {
		m, err := read(conn.ctx, conn.ws)
		if err != nil || limiter.Wait(conn.ctx) != nil {
			return false
		}
		if m.Type == signal.Leave {
			return true
		}
		conn.carryOut(m)
	}
}

func (conn *connection) carryOut(m signal.Message) {
	switch m.Type {
	case signal.Answer:
		select {
		case conn.answers <- m:
		case <-conn.ctx.Done():
		}
	case signal.State:
		conn.call.say(conn, m.Audio, m.Video)
	case signal.Receive:
		conn.soundOnly.Store(!m.Video)
		conn.touch()
	case signal.Restart:
		select {
		case conn.restarts <- struct{}{}:
		default:
		}
	case signal.MuteAll, signal.Remove, signal.LetIn, signal.End:
		conn.moderate(m)
	}
}

// moderate carries out what only a seat with the feature may ask.
func (conn *connection) moderate(m signal.Message) {
	needs := map[string]string{
		signal.MuteAll: featureMuteAll, signal.Remove: featureRemove, signal.LetIn: featureRemove, signal.End: featureEnd,
	}
	if !conn.who.Features[needs[m.Type]] {
		conn.decline(refusal(codeForbidden))
		return
	}
	switch m.Type {
	case signal.MuteAll:
		conn.call.muteAll(conn)
	case signal.Remove:
		conn.call.remove(conn, m.Seat)
	case signal.LetIn:
		conn.call.letIn(m.Seat)
	case signal.End:
		conn.endForAll()
	}
}

func (conn *connection) decline(why *refused) {
	conn.send(signal.Message{Type: signal.Declined, Code: why.code, Reason: why.reason})
}

// endForAll lets the consultation end first, then the room.
func (conn *connection) endForAll() {
	c := conn.call
	admission := c.room.currentAdmission()
	if admission == nil {
		conn.decline(refusal(codeUnavailable))
		return
	}
	// The end closes this socket, and must not cut off what it is part of.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(conn.ctx), endTimeout)
	defer cancel()
	if err := admission.EndForAll(ctx, c.name, conn.who.person()); err != nil {
		conn.decline(fromAdmission(codeNotNow, err))
		return
	}
	if err := c.room.End(ctx, c.name); err != nil {
		c.room.opts.Log.Error("end of a call", "error", err)
	}
}

// write is the only writer of the socket. Pings find connections that died
// without a word.
func (conn *connection) write() {
	defer conn.cancel()
	ping := time.NewTicker(pingInterval)
	defer ping.Stop()
	for {
		select {
		case <-conn.ctx.Done():
			return
		case m := <-conn.out:
			if write(conn.ctx, conn.ws, m) != nil {
				return
			}
		case m := <-conn.last:
			conn.flush(m)
			return
		case <-ping.C:
			ctx, done := context.WithTimeout(conn.ctx, writeTimeout)
			err := conn.ws.Ping(ctx)
			done()
			if err != nil {
				return
			}
		}
	}
}

func (conn *connection) flush(last signal.Message) {
	for {
		select {
		case m := <-conn.out:
			if write(conn.ctx, conn.ws, m) != nil {
				return
			}
		default:
			if last.Type == "" {
				_ = conn.ws.Close(websocket.StatusGoingAway, "restart")
				return
			}
			if write(conn.ctx, conn.ws, last) == nil {
				_ = conn.ws.Close(websocket.StatusNormalClosure, last.Type)
			}
			return
		}
	}
}

func read(ctx context.Context, ws *websocket.Conn) (signal.Message, error) {
	var m signal.Message
	_, body, err := ws.Read(ctx)
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(body, &m)
}

func write(ctx context.Context, ws *websocket.Conn, m signal.Message) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return ws.Write(ctx, websocket.MessageText, body)
}
