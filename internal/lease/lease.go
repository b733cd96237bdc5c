// Package lease gives a duty to one node at a time, where several share a
// database: the relay of events, the timers.
//
// The duty is a row in the store that names its holder, with a fence, which
// grows each time that the duty changes hands, and a beat, which the holder
// moves on. Whoever has seen the beat stand still for the whole term on its
// own clock may take over. The clocks of nodes are never compared, so that one
// that is wrong or jumps does no harm.
//
// A holder that was asleep does not know that it has been replaced. What must
// not be done twice is therefore done in a transaction that calls Check. Acts
// outside the database are bounded by the time that Hold gives, and no more.
package lease

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// DefaultTerm is how long a duty stays with a holder that gives no sign of
// life.
const DefaultTerm = 6 * time.Second

// ErrLost says that another node has the duty now.
var ErrLost = errors.New("the duty has gone to another node")

// Lease is one node's claim to a duty. Store, Duty and Node must be set; the
// zero values of the rest are good. It is safe for concurrent use.
type Lease struct {
	Store store.Store
	Duty  string           // such as "relay"
	Node  string           // of this process alone: a random id
	Term  time.Duration    // DefaultTerm when 0; the same on all nodes
	Clock func() time.Time // with a monotonic reading; time.Now when nil

	mu    sync.Mutex
	seen  row       // as it was last read
	since time.Time // when it was first read so
	until time.Time // this node holds the duty until then; zero when it does not

	// Below: for Held and Check, which wait for nobody.
	shown atomic.Pointer[time.Time] // until
	fence atomic.Int64              // of the duty as this node last held it
	lost  atomic.Bool               // another node was found in its place
}

// row is the duty as it stands in the store.
type row struct {
	Holder string `json:"holder"` // "" when nobody has it
	Fence  int64  `json:"fence"`
	Beat   int64  `json:"beat"`
}

func (l *Lease) now() time.Time {
	if l.Clock == nil {
		return time.Now()
	}
	return l.Clock()
}

func (l *Lease) term() time.Duration {
	if l.Term == 0 {
		return DefaultTerm
	}
	return l.Term
}

func (l *Lease) setting() string { return "lease." + l.Duty }

// Hold takes the duty when nobody has it, or goes on with it, and tells until
// when this node may act without asking again; ok is false while another node
// has it. It asks the store at most three times in a term. The error says that
// the store does not answer; the duty is then held until the time that was
// given before.
func (l *Lease) Hold(ctx context.Context) (until time.Time, ok bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	begun := l.now()
	if l.lost.Swap(false) {
		l.keep(time.Time{})
	}
	if l.until.Sub(begun) > l.term()*2/3 {
		return l.until, true, nil
	}
	var next row
	err = l.Store.Update(ctx, func(tx store.Tx) error {
		have, err := read(tx, l.setting())
		if err != nil {
			return err
		}
		if have != l.seen {
			l.seen, l.since = have, l.now() // not earlier than it was read: the store may have been slow
		}
		next = have
		switch {
		case have.Holder == l.Node && !l.until.IsZero():
		case have.Holder == "" || have.Holder == l.Node || begun.Sub(l.since) >= l.term():
			next.Holder = l.Node
			next.Fence++
		default:
			return nil
		}
		next.Beat++
		return write(tx, l.setting(), next)
	})
	if err != nil {
		return l.until, begun.Before(l.until), err
	}
	if next.Holder != l.Node {
		l.keep(time.Time{})
		return time.Time{}, false, nil
	}
	l.seen, l.since = next, l.now()
	l.fence.Store(next.Fence)
	l.keep(begun.Add(l.term())) // from before the store was asked: others count from after
	return l.until, true, nil
}

func (l *Lease) keep(until time.Time) {
	l.until = until
	l.shown.Store(&until)
}

// Held tells whether this node has the duty, as far as it knows. It does not
// ask the store, and waits for nobody.
func (l *Lease) Held() bool {
	until := l.shown.Load()
	return until != nil && l.now().Before(*until)
}

// Check refuses with ErrLost what a transaction of this node is about to do
// when the duty is no longer its own.
func (l *Lease) Check(r store.Reader) error {
	fence := l.fence.Load()
	have, err := read(r, l.setting())
	if err == nil && (have.Holder != l.Node || have.Fence != fence) {
		l.lost.Store(true)
		err = ErrLost
	}
	return err
}

// Release gives the duty up, so that another node need not wait for the end of
// the term.
func (l *Lease) Release(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.until.IsZero() {
		return nil
	}
	l.keep(time.Time{})
	return l.Store.Update(ctx, func(tx store.Tx) error {
		have, err := read(tx, l.setting())
		if err != nil || have.Holder != l.Node {
			return err
		}
		have.Holder = ""
		return write(tx, l.setting(), have)
	})
}

func read(r store.Reader, setting string) (have row, err error) {
	raw, err := r.Setting(setting)
	if errors.Is(err, store.ErrNotFound) {
		return row{}, nil
	}
	if err != nil {
		return row{}, err
	}
	return have, json.Unmarshal(raw, &have)
}

func write(tx store.Tx, setting string, r row) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return tx.PutSetting(setting, raw)
}
