package ui

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// MaxStreams is how many streams one person may have: a few tabs and phones.
const MaxStreams = 6

const patience = 10 * time.Second // for one write to a slow network

// LookAgain is the one event of a stream.
const LookAgain = "event: look\ndata: again\n\n"

// Streams are the live streams of a site. A stream only ever says "look": what
// there is to see, the page asks for itself, so that a lost signal cannot lie.
// It costs one goroutine and two timers, and nothing while it is silent.
type Streams struct {
	Beat time.Duration // between signs of life
	Life time.Duration // after which the browser comes back, and is asked again who it is

	mu   sync.Mutex
	open map[string]int // by person
	done chan struct{}
	stop sync.Once
}

// NewStreams makes the streams of a site.
func NewStreams() *Streams {
	return &Streams{Beat: 15 * time.Second, Life: 10 * time.Minute, open: map[string]int{}, done: make(chan struct{})}
}

// Stop ends the open streams, so that a server can shut down; browsers come
// back by themselves. It may be called more than once.
func (s *Streams) Stop() { s.stop.Do(func() { close(s.done) }) }

// Serve says "look" at once and whenever wake fires, until the browser goes
// away. It gives false when the person has too many streams already; then
// nothing is written.
func (s *Streams) Serve(w http.ResponseWriter, r *http.Request, person string, wake <-chan struct{}) bool {
	if !s.enter(person) {
		return false
	}
	defer s.leave(person)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // a proxy must not hold lines back
	out := stream{w, http.NewResponseController(w)}
	beat := time.NewTicker(s.Beat)
	defer beat.Stop()
	end := time.NewTimer(s.Life)
	defer end.Stop()
	for line := "retry: 1000\n" + LookAgain; out.send(line) == nil; {
		select {
		case <-wake:
			line = LookAgain
		case <-beat.C:
			line = ": still here\n\n"
		case <-end.C:
			return true
		case <-r.Context().Done():
			return true
		case <-s.done:
			return true
		}
	}
	return true
}

// Open counts the people who have streams.
func (s *Streams) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

func (s *Streams) enter(person string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[person] >= MaxStreams {
		return false
	}
	s.open[person]++
	return true
}

func (s *Streams) leave(person string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[person]--; s.open[person] == 0 {
		delete(s.open, person)
	}
}

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
