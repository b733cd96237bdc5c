package fault

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/source"
)

// ledger holds what the exchange has acknowledged: all of it must be found
// again after the crashes.
type ledger struct {
	t *testing.T

	mu       sync.Mutex
	writes   []write
	taps     int                        // acknowledged taps on "check in"
	visits   map[string]visit           // checked in, by Appointment
	rated    map[string]bool            // Encounters that their patients have rated
	left     map[string]bool            // Appointments that their patients have cancelled
	groups   map[string][]string        // Appointments of a VCE session, by token
	sessions map[string]string          // status that a session has reached at least, by token
	messages map[string]map[string]bool // by title (which is the idempotency key), then who was told
	slots    map[string]int             // quota
	reads    map[string]int             // acknowledged reads of registers
	unknown  map[string]int             // requests without an answer, by what they were
	refused  map[string]int             // refusals that belong to the play

	registers []*register
	called    []time.Duration // from an activation to the page that says so
}

// write is an acknowledged version of a record.
type write struct {
	ref     string
	version int64
	status  string
	body    [sha256.Size]byte // of the document in the answer
}

// visit is a checked-in consultation.
type visit struct{ encounter, token string }

func newLedger(t *testing.T) *ledger {
	return &ledger{
		t: t, visits: map[string]visit{}, rated: map[string]bool{}, left: map[string]bool{}, groups: map[string][]string{},
		sessions: map[string]string{}, messages: map[string]map[string]bool{}, slots: map[string]int{},
		reads: map[string]int{}, unknown: map[string]int{}, refused: map[string]int{},
	}
}

// settle notes how a request ended and tells whether it was acknowledged. A
// refusal must be one of the statuses that the play expects; no answer is what
// a crash looks like from outside.
func (l *ledger) settle(what string, err error, expected ...int) bool {
	if err == nil {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var refusal *source.Error
	switch {
	case !errors.As(err, &refusal):
		l.unknown[what]++
	case slices.Contains(expected, refusal.Status):
		l.refused[what]++
	case unanswered(refusal.Status):
		l.unknown[what]++
	default:
		l.t.Errorf("%s was refused: %v", what, err)
	}
	return false
}

// unanswered tells that a status is that of a proxy or of a node without its
// database: nobody knows what became of the request.
func unanswered(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}

func isStatus(err error, status int) bool {
	var refusal *source.Error
	return errors.As(err, &refusal) && refusal.Status == status
}

// wrote notes an acknowledged version.
func (l *ledger) wrote(r source.Result) {
	l.note(r.Doc.Type()+"/"+r.Doc.ID(), r.Version, r.Doc)
}

func (l *ledger) note(ref string, version int64, doc *fhir.Document) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writes = append(l.writes, write{ref, version, doc.Get("status").String(), sha256.Sum256(doc.Bytes())})
}

// checkedIn notes the Encounter of an acknowledged check-in. Asked again, it
// must be the same.
func (l *ledger) checkedIn(appointment string, v visit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if before, again := l.visits[appointment]; again && before != v {
		l.t.Errorf("Appointment/%s had Encounter/%s and has Encounter/%s now", appointment, before.encounter, v.encounter)
	}
	l.visits[appointment] = v
}

func (l *ledger) with(fn func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fn()
}

// enough tells whether everything has happened that is to be looked at.
func (l *ledger) enough() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	ended := slices.Contains(slices.Collect(maps.Values(l.sessions)), "ended")
	return len(l.visits) > 0 && len(l.rated) > 0 && len(l.left) > 0 && len(l.groups) > 0 && len(l.messages) > 0 && len(l.slots) > 0 && ended
}

func (l *ledger) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	told := 0
	for _, to := range l.messages {
		told += len(to)
	}
	slices.Sort(l.called)
	median, longest := time.Duration(0), time.Duration(0)
	if n := len(l.called); n > 0 {
		median, longest = l.called[n/2].Round(time.Millisecond), l.called[n-1].Round(time.Millisecond)
	}
	return fmt.Sprintf("%d pages said that the patient may join, after %v (median) to %v; %d writes, %d taps, %d check-ins, %d ratings, %d messages in inboxes, %d sessions, %d slots acknowledged; without an answer: %v; refused as they should be: %v",
		len(l.called), median, longest, len(l.writes), l.taps, len(l.visits), len(l.rated), told, len(l.sessions), len(l.slots), l.unknown, l.refused)
}
