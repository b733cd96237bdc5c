package portal

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/notify"
)

const (
	maxStreams = 6                // of one account: a few tabs and phones
	patience   = 10 * time.Second // for one write to a slow network
)

// events is the live stream of an appointment. It only ever says "look": what
// there is to see, the page asks for itself, so that a lost signal cannot lie.
// A stream costs one goroutine and one timer, and nothing while it is silent.
func (p *Portal) events(w http.ResponseWriter, r *http.Request, v *visit) error {
	c, err := p.find(r, v)
	if err != nil {
		return err
	}
	if !p.openStream(v.who.ID) {
		return fhir.Errorf(fhir.CodeThrottled, "", "This page is open too often.")
	}
	defer p.closeStream(v.who.ID)
	// Subscribed before the first "look", no change falls in between.
	wake, cancel := p.Signals.Subscribe(notify.PatientKey(v.who.ID), notify.InboxKey(v.who.Login), notify.ServiceKey(c.Service))
	defer cancel()

	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // a proxy must not hold lines back
	out := stream{w, http.NewResponseController(w)}
	if out.send("retry: 1000\n"+lookAgain) != nil {
		return nil
	}
	beat := time.NewTicker(p.beat)
	defer beat.Stop()
	end := time.NewTimer(p.life)
	defer end.Stop()
	for {
		line := lookAgain
		select {
		case <-wake:
		case <-beat.C:
			line = ": still here\n\n"
		case <-end.C: // the browser comes back, and is asked again who it is
			return nil
		case <-r.Context().Done():
			return nil
		case <-p.done:
			return nil
		}
		if out.send(line) != nil {
			return nil // the browser went away
		}
	}
}

const lookAgain = "event: look\ndata: again\n\n"

type stream struct {
	w       io.Writer
	control *http.ResponseController
}

// send writes one line and flushes it, however long the server's own write
// timeout is.
func (s stream) send(line string) error {
	if err := s.control.SetWriteDeadline(time.Now().Add(patience)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := io.WriteString(s.w, line); err != nil {
		return err
	}
	return s.control.Flush()
}

func (p *Portal) openStream(account string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.streams[account] >= maxStreams {
		return false
	}
	p.streams[account]++
	return true
}

func (p *Portal) closeStream(account string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.streams[account]--; p.streams[account] == 0 {
		delete(p.streams, account)
	}
}
