// Package consult is the virtual consultation itself: check-in, session token,
// waiting, activation, joining, finishing, and the same for groups.
//
// It owns the table of states and moves; every change of an Appointment or
// Encounter, from a patient, a source system or a timer, passes through it in
// the transaction that stores the change. It knows no HTTP, SQL, Kafka or
// Jitsi, and it does not judge the form of documents.
package consult

import (
	"time"

	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// State of a consultation.
type State string

// The states. Closed states are never left.
const (
	Booked    State = "booked"
	Waiting   State = "waiting"
	Ready     State = "ready"
	InCall    State = "in-call"
	Finished  State = "finished"
	Cancelled State = "cancelled"
	NoShow    State = "no-show"
	Abandoned State = "abandoned"
)

// Session statuses.
const (
	SessionCreated = "created"
	SessionActive  = "active"
	SessionEnded   = "ended"
)

// Service types of MY Core for virtual consultation.
const (
	Individual = "VCI"
	Education  = "VCE"
)

// CheckInWindow is where now stands relative to the time for checking in.
type CheckInWindow string

// Check-in windows.
const (
	TooEarly CheckInWindow = "early"
	Open     CheckInWindow = "open"
	Over     CheckInWindow = "over"
)

// View is one appointment as its patient may see it. It holds no token.
type View struct {
	Appointment  string // id
	Service      string // id of the HealthcareService, the key of its queue
	State        State
	Group        bool   // an education session (VCE)
	Title        string // what it is about: the HealthcareService's name
	Provider     string // the organisation's name
	Practitioner string // name, "" when not known
	Start, End   time.Time
	Opens        time.Time // when check-in opens
	CheckIn      CheckInWindow
	CheckedIn    time.Time // zero before
	QueuePlace   int       // 1 is next; 0 when not waiting or in a group
	Present      []meeting.Person
	CanCancel    bool
	Rated        bool
}

// Consent is what the patient agreed to at check-in.
type Consent struct {
	VideoConsultation bool   // to be treated by video; without it there is no check-in
	Language          string // in which it was shown: ms, en, zh, ta
}

// NewSession is what a source system says to create a session.
type NewSession struct {
	ServiceType string // VCE when empty: VCI sessions are created at check-in
	Title       string
}

// SessionView is a session as its source system may see it.
type SessionView struct {
	store.Session
	Present []meeting.Person
}
