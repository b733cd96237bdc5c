package store

import "time"

// Subscriber is a Subscription resource as the exchange serves it.
type Subscriber struct {
	ID           string // of the Subscription
	Organization string // whose it is
	Client       string // account id under which it was written
	Scopes       string // what that client was allowed, separated by blanks
	Resource     string // type of the records that it is about
	Channel      string // rest-hook or websocket
	Order        []byte // what was asked for, in the words of package subscription, with secret headers
	Status       string // requested, active, error or off
	Progress
	Events int64 // number of its last event; set by the store
}

// Progress is how far the notifications of a Subscriber are.
type Progress struct {
	Done     int64     // events up to this number need no more sending
	Failures int       // attempts in a row that failed
	Due      time.Time // when it needs attention even without a new event; never when zero
	Sent     time.Time // when it was last reached
	Holder   string    // who attends to it, until Lease
	Lease    time.Time
}

// Notice is one event of a Subscriber: a record has a new version. It keeps
// no content.
type Notice struct {
	Subscription string
	Number       int64 // set by the store: 1, 2, 3 … without gaps
	Type, ID     string
	Version      int64
	Created      bool // the version is the first, or the first after a deletion
	At           time.Time
}

// Deliveries counts the events of Subscribers that are still to be sent, and
// those that no longer will be unless somebody asks for them.
type Deliveries struct{ Pending, Dead int64 }
