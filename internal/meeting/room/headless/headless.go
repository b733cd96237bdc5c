// Package headless is a participant of a call without a browser, for the demo,
// load tests and tests.
//
// It enters with the same join link as a person, sends a real picture (VP8)
// and a real sound (Opus) in a loop and counts what it receives from each of
// the others. Limit: it decodes nothing, and a lost connection is not taken up
// again by itself.
package headless

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/pion/webrtc/v4"

	"github.com/jumpa-hie/jumpa/internal/meeting/room/signal"
)

const (
	maxMessageSize = 1 << 20
	writeTimeout   = 10 * time.Second
	pollInterval   = 20 * time.Millisecond
)

// Options of a participant; the zero value sends sound and picture.
type Options struct {
	NoAudio bool   // no microphone
	NoVideo bool   // no camera
	Ticket  string // a resume ticket, used in place of the JWT of the link
}

// Refused is the answer to somebody who is not let in. Code is one of the
// signal package's.
type Refused struct{ Code, Reason string }

// Error implements error.
func (e *Refused) Error() string { return "not let into the call: " + e.Reason }

// Participant is one person in a call.
type Participant struct {
	opts  Options
	api   *webrtc.API
	ws    *websocket.Conn
	ctx   context.Context // of the participation, apart from that of Join
	stop  context.CancelFunc
	tasks sync.WaitGroup
	ended chan struct{}

	sound, picture *webrtc.TrackLocalStaticSample
	audio, video   atomic.Bool // what is being sent
	keyFrame       atomic.Bool // somebody needs a key frame

	mu       sync.Mutex
	pc       *webrtc.PeerConnection
	number   int // of the media connection
	sections int // of the last offer
	seat     string
	ticket   string
	features map[string]bool
	people   []signal.Person
	removed  []signal.Person
	received map[string]*PersonStats
	declined string
	reason   string
}

// Join enters the room of a join link and returns when the room has given a
// seat; media follows. ctx limits the entry alone. The error is a *Refused
// when the room does not let this person in.
func Join(ctx context.Context, joinURL string, opts Options) (*Participant, error) {
	address, token, err := socketURL(joinURL)
	if err != nil {
		return nil, err
	}
	p, err := newParticipant(opts)
	if err != nil {
		return nil, err
	}
	if p.ws, _, err = websocket.Dial(ctx, address, nil); err != nil {
		p.stop()
		return nil, fmt.Errorf("reach the call room: %w", err)
	}
	p.ws.SetReadLimit(maxMessageSize)
	if err := p.enter(ctx, token); err != nil {
		p.stop()
		_ = p.ws.CloseNow()
		return nil, err
	}
	p.tasks.Go(p.listen)
	p.tasks.Go(p.play)
	return p, nil
}

// socketURL splits a join link into the address of the socket and the JWT.
func socketURL(joinURL string) (address, token string, err error) {
	u, err := url.Parse(joinURL)
	if err != nil {
		return "", "", errors.New("the join link is not a valid address")
	}
	token = strings.TrimPrefix(u.Fragment, "jwt=")
	u.Fragment, u.RawQuery = "", ""
	u.Scheme = strings.Replace(u.Scheme, "http", "ws", 1)
	return u.JoinPath("socket").String(), token, nil
}

func newParticipant(opts Options) (*Participant, error) {
	p := &Participant{opts: opts, ended: make(chan struct{}), received: map[string]*PersonStats{}}
	p.audio.Store(!opts.NoAudio)
	p.video.Store(!opts.NoVideo)
	var err error
	if p.api, err = newAPI(); err != nil {
		return nil, err
	}
	if p.sound, err = webrtc.NewTrackLocalStaticSample(opus, "audio", "headless"); err != nil {
		return nil, err
	}
	if p.picture, err = webrtc.NewTrackLocalStaticSample(vp8, "video", "headless"); err != nil {
		return nil, err
	}
	p.ctx, p.stop = context.WithCancel(context.Background())
	return p, nil
}

// enter sends the credentials and waits for a seat.
func (p *Participant) enter(ctx context.Context, token string) error {
	first := signal.Message{Type: signal.Enter, JWT: token, Audio: p.audio.Load(), Video: p.video.Load()}
	if p.opts.Ticket != "" {
		first.JWT, first.Ticket = "", p.opts.Ticket
	}
	if err := p.write(ctx, first); err != nil {
		return err
	}
	m, err := p.read(ctx)
	switch {
	case err != nil:
		return err
	case m.Type == signal.Refused:
		return &Refused{Code: m.Code, Reason: m.Reason}
	case m.Type != signal.Welcome:
		return fmt.Errorf("the call room answered %q", m.Type)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seat, p.ticket, p.features = m.Seat, m.Ticket, m.Features
	return nil
}

func (p *Participant) read(ctx context.Context) (signal.Message, error) {
	var m signal.Message
	_, body, err := p.ws.Read(ctx)
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(body, &m)
}

func (p *Participant) write(ctx context.Context, m signal.Message) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return p.ws.Write(ctx, websocket.MessageText, body)
}

// listen follows the room until it, or this participant, is done.
func (p *Participant) listen() {
	reason := "lost"
	for {
		m, err := p.read(p.ctx)
		if err != nil {
			break
		}
		if m.Type == signal.Ended || m.Type == signal.Removed || m.Type == signal.Replaced {
			reason = m.Type
			break
		}
		if err := p.take(m); err != nil {
			reason = err.Error()
			break
		}
	}
	p.mu.Lock()
	if p.reason == "" {
		p.reason = reason
	}
	pc := p.pc
	p.mu.Unlock()
	p.stop()
	_ = p.ws.CloseNow()
	if pc != nil {
		_ = pc.Close()
	}
	close(p.ended)
}

func (p *Participant) take(m signal.Message) error {
	switch m.Type {
	case signal.Offer:
		return p.answer(m)
	case signal.Mute:
		return p.Send(false, p.video.Load())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch m.Type {
	case signal.People:
		p.people, p.removed = m.People, m.Removed
	case signal.Ticket:
		p.ticket = m.Ticket
	case signal.Declined:
		p.declined = m.Code
	}
	return nil
}

// Send switches the microphone and the camera. Switching the microphone on
// lifts the practitioner's mute. A device that the options rule out stays off.
func (p *Participant) Send(audio, video bool) error {
	audio, video = audio && !p.opts.NoAudio, video && !p.opts.NoVideo
	p.audio.Store(audio)
	if video && !p.video.Swap(video) {
		p.keyFrame.Store(true)
	}
	p.video.Store(video)
	return p.write(p.ctx, signal.Message{Type: signal.State, Audio: audio, Video: video})
}

// ReceiveVideo asks for the pictures of the others, or for sound only.
func (p *Participant) ReceiveVideo(on bool) error {
	return p.write(p.ctx, signal.Message{Type: signal.Receive, Video: on})
}

// Restart asks for a new media connection, as a browser does whose network changed.
func (p *Participant) Restart() error {
	return p.write(p.ctx, signal.Message{Type: signal.Restart})
}

// MuteAll mutes everybody else. Only a practitioner may.
func (p *Participant) MuteAll() error {
	return p.write(p.ctx, signal.Message{Type: signal.MuteAll})
}

// Remove sends the person on a seat out. Only a practitioner may.
func (p *Participant) Remove(seat string) error {
	return p.write(p.ctx, signal.Message{Type: signal.Remove, Seat: seat})
}

// LetIn allows somebody who was removed to come back. Only a practitioner may.
func (p *Participant) LetIn(seat string) error {
	return p.write(p.ctx, signal.Message{Type: signal.LetIn, Seat: seat})
}

// EndForAll ends the call for everybody. Only a practitioner may.
func (p *Participant) EndForAll() error {
	return p.write(p.ctx, signal.Message{Type: signal.End})
}

// Leave gives the seat back and waits until everything is closed.
func (p *Participant) Leave() {
	p.mu.Lock()
	if p.reason == "" {
		p.reason = "left"
	}
	p.mu.Unlock()
	// A connection that is gone already has nothing to leave.
	_ = p.write(p.ctx, signal.Message{Type: signal.Leave})
	select {
	case <-p.ended:
	case <-time.After(writeTimeout):
	}
	p.Drop()
}

// Drop breaks the connection without a word, as a lost network does, and waits
// until everything is closed. The room keeps the seat for a while.
func (p *Participant) Drop() {
	p.stop()
	_ = p.ws.CloseNow()
	p.tasks.Wait()
}

// Ended is closed when the participation is over for any reason.
func (p *Participant) Ended() <-chan struct{} { return p.ended }

// EndReason tells why: ended, removed, replaced, left, or lost. It is empty before.
func (p *Participant) EndReason() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reason
}

// Seat gives the opaque name of this participant's seat.
func (p *Participant) Seat() string { return p.seat }

// Ticket gives the newest resume ticket.
func (p *Participant) Ticket() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ticket
}
