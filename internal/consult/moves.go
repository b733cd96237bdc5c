package consult

import (
	"maps"
	"sync"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// Move is something that happens to a consultation.
type Move string

// The moves.
const (
	moveCheckIn  Move = "check in"
	moveActivate Move = "activate"
	moveJoin     Move = "join"
	moveStart    Move = "start"
	moveFinish   Move = "finish"
	moveCancel   Move = "cancel"
	moveMiss     Move = "miss"
	moveGiveUp   Move = "give up"
)

// moves is the state chart: what leads from where to where. A move that is not
// listed is impossible.
var moves = map[State]map[Move]State{
	Booked:  {moveCheckIn: Waiting, moveCancel: Cancelled, moveMiss: NoShow},
	Waiting: {moveActivate: Ready, moveCancel: Cancelled, moveGiveUp: Abandoned},
	Ready:   {moveJoin: InCall, moveStart: InCall, moveFinish: Finished, moveCancel: Cancelled, moveGiveUp: Abandoned},
	InCall:  {moveFinish: Finished, moveCancel: Cancelled},
}

// statuses says how a state shows in the Appointment and the Encounter; ""
// leaves the status as it is. A cancelled or abandoned visit has Encounter
// status unknown, the only one of MY Core that says neither "came" nor "done".
var statuses = map[State]struct{ appointment, encounter string }{
	Booked:    {"booked", ""},
	Waiting:   {"checked-in", "arrived"},
	Ready:     {"arrived", "arrived"},
	InCall:    {"arrived", "in-progress"},
	Finished:  {"fulfilled", "finished"},
	Cancelled: {"cancelled", "unknown"},
	NoShow:    {"noshow", ""},
	Abandoned: {"", "unknown"},
}

// closed tells whether a state is never left.
func (s State) closed() bool { return len(moves[s]) == 0 }

// phrases complete the sentence "The consultation …".
var phrases = map[State]string{
	Booked:    "is booked and the patient has not checked in",
	Waiting:   "is waiting for its session to be activated",
	Ready:     "is ready to be joined",
	InCall:    "is in the call",
	Finished:  "is finished",
	Cancelled: "is cancelled",
	NoShow:    "was missed",
	Abandoned: "was never started and its time is over",
}

// next applies a move to a consultation, or refuses with a reason.
func next(c *store.Consultation, m Move, at time.Time) error {
	to, ok := moves[State(c.State)][m]
	if !ok {
		return fhir.Errorf(fhir.CodeBusinessRule, "", "The consultation %s; %q is not possible now.", phrases[State(c.State)], string(m))
	}
	c.State = string(to)
	switch to {
	case Waiting:
		c.CheckedIn = at
	case Ready:
		c.Ready = at
	case InCall:
		c.InCall = at
	default:
		c.Closed = at
	}
	return nil
}

// allMoves is the moves, each once.
var allMoves = []Move{moveCheckIn, moveActivate, moveJoin, moveStart, moveFinish, moveCancel, moveMiss, moveGiveUp}

// tally counts moves that were committed.
type tally struct {
	mu     sync.Mutex
	counts map[Move]uint64
}

func (t *tally) add(list []Move) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = map[Move]uint64{}
	}
	for _, m := range list {
		t.counts[m]++
	}
}

// Moves tells how often each move was made by this node since it was started.
func (s *Service) Moves() map[Move]uint64 {
	all := map[Move]uint64{}
	for _, m := range allMoves {
		all[m] = 0
	}
	s.moved.mu.Lock()
	defer s.moved.mu.Unlock()
	maps.Copy(all, s.moved.counts)
	return all
}
