// Package store is the contract between the exchange and its database: the
// records, the consultations, the outbox and the audit trail, all written in
// one transaction.
//
// An engine (sqlite) implements Store and passes the suite in storetest. What
// Update has returned without an error is on disk. The contract knows rows and
// documents; it knows no rule of the consultation and no FHIR beyond type, id
// and version.
package store

import (
	"context"
	"errors"
	"time"
)

// ErrNotFound says that a row is not there. Reads of single rows give it.
var ErrNotFound = errors.New("not found")

// Store is a database. It is safe for concurrent use. With a context from
// Within, View and Update take part in the transaction that is running.
type Store interface {
	// View runs fn over one consistent snapshot.
	View(ctx context.Context, fn func(Reader) error) error
	// Update runs fn in one serializable transaction and returns once it is
	// on disk. An error of fn rolls back everything that fn did and is
	// returned as it is. fn may be run more than once and must not act on the
	// world outside the transaction.
	Update(ctx context.Context, fn func(Tx) error) error
	Close() error
}

// Resource is one version of a FHIR resource.
type Resource struct {
	Type, ID     string
	Version      int64 // from 1
	Updated      time.Time
	Method       string // POST, PUT or DELETE: what made this version
	Organization string // id of the organisation that owns the record
	Body         []byte // the exact document; empty when Method is DELETE
}

// Deleted tells whether this version is a deletion.
func (r Resource) Deleted() bool { return r.Method == "DELETE" }

// Key names a version of a resource; Version 0 is the current one.
type Key struct {
	Type, ID string
	Version  int64
}

// Kind is how an index entry compares.
type Kind uint8

// Kinds of index entries.
const (
	Token     Kind = iota + 1 // Value is "code|system" (system may be empty)
	Reference                 // Value is "Type/id"
	String                    // Value is lower case, without accents
	Date                      // Low and High bound a half-open range, Unix microseconds
)

// Entry is one value under which a resource can be found.
type Entry struct {
	Param     string // the search parameter's code, such as "identifier"
	Kind      Kind
	Value     string
	Low, High int64
}

// Compare is how a Match compares with an Entry.
type Compare string

// Comparisons. The date prefixes have the meaning of FHIR R4 search on ranges.
const (
	Equal        Compare = "eq" // the whole Value; for dates: the entry lies within [Low, High)
	HasPrefix    Compare = "prefix"
	Contains     Compare = "contains" // Value stands anywhere within the entry's; it looks at every entry of the parameter
	HasSuffix    Compare = "suffix"   // as Contains does
	NotEqual     Compare = "ne"
	LessThan     Compare = "lt"      // the entry has a part before Low
	LessEqual    Compare = "le"      // the entry has a part before Low, or lies within
	GreaterThan  Compare = "gt"      // the entry has a part at or after High
	GreaterEqual Compare = "ge"      // the entry has a part at or after High, or lies within
	StartsAfter  Compare = "sa"      // the entry begins at or after High
	EndsBefore   Compare = "eb"      // the entry ends at or before Low
	Overlaps     Compare = "ap"      // dates only: the entry has a part within [Low, High)
	Missing      Compare = "missing" // Value "true" or "false"
	Near         Compare = "near"    // the Point of the record, whose coordinates are the dates of Param+":x", ":y" and ":z", is at most Low from Place
)

// Match is one alternative of a Clause: that an entry compares so with it, or,
// with Not, that an entry does not.
type Match struct {
	Kind      Kind
	Compare   Compare
	Not       bool
	Value     string
	Low, High int64
	Place     Point
}

// Point is a place in space.
type Point struct{ X, Y, Z int64 }

// Clause holds when any of its alternatives does; Not turns it around. The
// parameters "_id" (Value) and "_lastUpdated" (Low, High) are always indexed.
type Clause struct {
	Param  string
	Any    []Match
	Not    bool
	Single bool // a record has one entry of the parameter at most
}

// Condition is what a record must meet: exactly one of Clause, Link, All and
// Any is set. Not turns it around.
type Condition struct {
	Not    bool
	Clause *Clause
	Link   *Link
	All    []Condition // all must hold
	Any    []Condition // one must hold
}

// Where gives conditions that are one clause each.
func Where(clauses ...Clause) []Condition {
	all := make([]Condition, len(clauses))
	for i := range clauses {
		all[i].Clause = &clauses[i]
	}
	return all
}

// Link is a condition on other records: that a reference Param leads to a
// match of one of Sub (a chain), or, with Reverse, that a match of one of Sub
// refers to the record by its Param (_has).
type Link struct {
	Param   string
	Reverse bool
	Sub     []Query // Type, Where and Organization count
}

// Query asks for current, undeleted resources of one type, or of several.
type Query struct {
	Type         string
	Types        []string    // of a search across types, when Type is "": parameters that all of them have
	Where        []Condition // all must hold
	Organization string      // only records that this organisation may see; "" for all
	Open         []string    // types of which every organisation may see all records
	Sort         []Sort      // then by order of creation
	Offset       int
	Count        int // at most this many; 0 counts only
	Total        bool

	// After is the Listing.Last of the same query behind which List goes on;
	// Before turns it around: what stands there or before it.
	After  string
	Before bool
}

// Sort orders by a parameter; resources without it come last.
type Sort struct {
	Param      string
	Kind       Kind // of its entries; 0 when that is not known
	Descending bool
}

// Page is the answer to a Query. Total is -1 unless asked for.
type Page struct {
	Resources []Resource
	Total     int
	More      bool
}

// Listing is the names of matches without their documents. More tells that
// there are more behind Last, a place in the order of the query that a later
// List goes on from: however the records have changed, it gives those that
// stand behind the place then, and that were there when the first List was
// made.
type Listing struct {
	Keys []Key
	Last string
	More bool
}

// Cursor is one part of a result that is handed out page by page. What it
// holds is the concern of who keeps it.
type Cursor struct {
	ID      string
	Part    int // from 0
	Body    []byte
	Expires time.Time // of all parts alike: the latest that any was written with
}

// HistoryQuery asks for versions, newest first. ID and Type may be empty.
type HistoryQuery struct {
	Type, ID     string
	Since        time.Time
	Organization string
	Offset       int
	Count        int
	After        string // of ListHistory: as in Query
}

// Session is one Jitsi session: a token, a room, and whether it may be entered.
type Session struct {
	Token        string // lower-case UUID, the vc-token
	Room         string
	Status       string // created, active, ended
	ServiceType  string // VCI, VCE, VCMDT or VCD
	Organization string
	Title        string
	Created      time.Time
	Activated    time.Time
	Ended        time.Time
	Closed       time.Time // when the meeting provider confirmed the end
}

// Consultation is the state of one appointment for a virtual consultation.
// The rules over it live in package consult.
type Consultation struct {
	Appointment       string // id
	Encounter         string // id, "" before check-in
	Patient           string // id of the Patient resource, "" for a simple register
	Organization      string // that provides the service
	HealthcareService string // id
	ServiceType       string // VCI, VCE, …
	Token             string // "" until there is a session
	State             string
	Start, End        time.Time
	CheckedIn         time.Time
	Ready             time.Time
	InCall            time.Time
	Closed            time.Time // finished, cancelled, no-show or abandoned
}

// Call is what is known of one room of a video system outside: who came and
// went. The rules over it, and its State, live in package roster.
type Call struct {
	Room    string
	People  int // inside now
	State   []byte
	Touched time.Time // when the state last changed
}

// MaxAhead bounds the counting of a queue: nobody needs to know more exactly.
const MaxAhead = 500

// Event is one message for a topic, complete but for its place in the log.
type Event struct {
	Seq     int64 // set by the store, in commit order
	Topic   string
	Key     string
	Number  int64 // within the topic; 0 until NumberEvents
	Headers []Header
	Value   []byte
	Created time.Time
}

// Header is one header of an Event.
type Header struct{ Name, Value string }

// Published says where the broker put an event.
type Published struct {
	Seq       int64
	Topic     string
	Partition int32
	Offset    int64
}

// Parked is an event that the broker refuses, set aside.
type Parked struct {
	Event
	At     time.Time
	Reason string
}

// Signal tells the other nodes of an exchange that something has changed for
// those who wait under a key.
type Signal struct {
	Seq int64 // grows, but not in the order of commits
	Key string
}

// Audit is one access, kept without clinical content.
type Audit struct {
	Seq          int64
	At           time.Time
	Action       string // C, R, U, D, E as in AuditEvent.action
	Operation    string // read, search, check-in, join, notify, …
	AgentKind    string // client, patient, practitioner, operator, system
	Agent        string
	Organization string
	Target       string // Type/id, a type, or a session's room
	Outcome      string // 0 success, 4 refused, 8 failed, as in AuditEvent.outcome
	Trace        string
}

// AuditQuery selects audit records, newest first.
type AuditQuery struct {
	Seq                         int64 // one record; 0 for any
	Until                       int64 // the last record that counts; 0 for any
	Target, Agent, Organization string
	Where                       []AuditTest // all must hold
	Since, Before               time.Time   // from Since until before Before; zero times do not count
	Offset, Count               int
}

// AuditField is what an AuditTest looks at.
type AuditField string

// The fields of Audit that can be tested.
const (
	AuditAction    AuditField = "action"
	AuditOperation AuditField = "operation"
	AuditAgentKind AuditField = "agent_kind"
	AuditAgent     AuditField = "agent"
	AuditTarget    AuditField = "target"
	AuditOutcome   AuditField = "outcome"
)

// AuditTest holds when the field has one of the values; Not turns it around.
type AuditTest struct {
	Field AuditField
	Any   []string
	Not   bool
}

// Account is somebody who can sign in.
type Account struct {
	Kind         string // client, patient, practitioner, operator
	ID           string // client id, or the account's own id
	Login        string // client id, e-mail, identity number or user name; unique within Kind
	SecretHash   string // never the secret
	Name         string
	Organization string
	Scopes       string
	Active       bool // for patients: RekodSaya is activated
	Created      time.Time
	Demo         bool
}

// SignIn is a signed-in browser, known by the hash of its cookie.
type SignIn struct {
	Hash    string
	Kind    string
	Account string
	CSRF    string
	Created time.Time
	Expires time.Time
}

// OneTimeCode is a code that was sent to somebody; Attempts counts wrong tries.
type OneTimeCode struct {
	Kind     string
	Login    string
	CodeHash string
	Expires  time.Time
	Attempts int
}

// Notification is a message in a patient's inbox.
type Notification struct {
	ID             string
	IdentityNumber string // the patient account's login
	Title, Body    string
	Token          string // session that it is about, may be ""
	Sender         string // organisation
	Created        time.Time
	Read           time.Time
}

// Reader reads. Single-row reads give ErrNotFound.
type Reader interface {
	Resource(typ, id string) (Resource, error) // the current version, also a deletion
	ResourceVersion(typ, id string, version int64) (Resource, error)
	// Resources gives the versions that the keys name, in the order of the
	// keys, current deletions too. What is not there, or what the organisation
	// ("" for all) may not see, is left out.
	Resources(keys []Key, organization string) ([]Resource, error)
	Search(q Query) (Page, error)
	List(q Query) (Listing, error) // Count, from Offset on: of all, or of what stands behind After
	// Values gives the values of a parameter's entries in order, each once,
	// among the records of a type that the organisation may see ("" for all);
	// at most limit.
	Values(typ, param, organization string, limit int) ([]string, error)
	History(q HistoryQuery) (Page, error) // Page.Total is always set
	ListHistory(q HistoryQuery) (Listing, error)
	MaySee(typ, id, organization string) (bool, error)
	ReferencedBy(to []Key, limit int) ([]Resource, error) // current resources with a Reference entry to one of them, whatever its version

	Session(token string) (Session, error)
	SessionByRoom(room string) (Session, error)
	OpenEndings(limit int) ([]Session, error) // ended, not yet confirmed by the provider
	Consultation(appointment string) (Consultation, error)
	ConsultationOf(encounter string) (Consultation, error)
	ConsultationsWith(token string) ([]Consultation, error)
	ConsultationsFor(patients []string) ([]Consultation, error)
	Ahead(c Consultation) (int, error)                                        // individual consultations waiting for the same service since before c, counted up to MaxAhead
	Due(states []string, before time.Time, limit int) ([]Consultation, error) // not closed, in one of the states, End before the time; by End
	Booked(slot string) (int, error)
	Call(room string) (Call, error)
	Calls(after string, limit int) ([]Call, error) // by room, those behind after
	InCalls() (rooms, people int, err error)       // rooms with somebody inside, and the people in them

	Account(kind, login string) (Account, error)
	AccountByID(kind, id string) (Account, error)
	Accounts(kind string) ([]Account, error)
	SignIn(hash string) (SignIn, error)
	OneTimeCode(kind, login string) (OneTimeCode, error)
	Notifications(identityNumber string, limit int) ([]Notification, error)
	Idempotent(principal, key string) (response []byte, err error)
	Attempts(key string) (until time.Time, err error) // when attempts count no more; the zero time when there were none
	Setting(name string) ([]byte, error)
	Cursor(id string, part int) (Cursor, error)

	AuditTrail(q AuditQuery) ([]Audit, error)
	AuditCount(q AuditQuery) (int, error)                                             // of all that AuditTrail gives, whatever Offset and Count
	PendingEvents(limit int) ([]Event, error)                                         // neither published nor parked, in commit order
	Signals(after int64, limit int) ([]Signal, error)                                 // by Seq
	LastSignal() (int64, error)                                                       // the highest Seq, 0 when there is none
	ParkedEvents(limit int) ([]Parked, error)                                         // the oldest first
	LastPublished() ([]Published, error)                                              // the highest offset of each topic and partition
	PublishedSince(topic string, since time.Time) (oldest map[int32]int64, err error) // lowest offset per partition published for events created at or after since

	Subscriber(id string) (Subscriber, error)
	Subscribers(resource string) ([]Subscriber, error)                        // of records of a type, by id: all that are not off, without their progress
	DueSubscribers(now time.Time, limit int) ([]Subscriber, error)            // that nobody holds and that are due or, when active, have events for a rest-hook and no failure; the one that was reached longest ago first
	Notices(subscription string, from, to int64, limit int) ([]Notice, error) // by number, both ends included
	Deliveries() (Deliveries, error)                                          // of rest-hooks
}

// Tx reads and writes. Put methods insert or replace by the row's key, and no
// other row: a login, room or encounter that another row has is an error.
type Tx interface {
	Reader
	// PutResource writes a version. r.Version must be one more than the
	// current one, or the error is a fhir.CodeConflict. add and remove say how the index entries change.
	PutResource(r Resource, add, remove []Entry) error
	// Relabel writes another body in the place of the one that r's version
	// has; nothing else of the version changes. ErrNotFound when there is no
	// such version. The entries are those of the current version.
	Relabel(r Resource, add, remove []Entry) error
	// Grant lets an organisation see a record; granting twice is no error.
	Grant(typ, id, organization string) error

	PutSession(Session) error
	PutConsultation(Consultation) error
	Book(slot, appointment string) error   // idempotent
	Unbook(slot, appointment string) error // idempotent
	PutCall(Call) error
	DeleteCall(room string) error // idempotent

	PutAccount(Account) error
	PutSignIn(SignIn) error
	DeleteSignIn(hash string) error
	PutOneTimeCode(OneTimeCode) error
	DeleteOneTimeCode(kind, login string) error
	PutNotification(Notification) error
	PutAttempts(key string, until time.Time) error
	PutIdempotent(principal, key string, response []byte, at time.Time) error
	PutSetting(name string, value []byte) error
	// PutCursor keeps a part of a cursor, and all its parts until the part
	// expires. A part that is there keeps its body: pages of it have been seen.
	PutCursor(Cursor) error
	NextNumber(counter string) (int64, error)                   // 1, 2, 3 … without gaps
	NextNumbers(counter string, n int) (first int64, err error) // as many at once
	// FreshNumber gives a number that no other update that succeeds gets of the
	// counter. Unlike NextNumber it holds nobody up; there are gaps.
	FreshNumber(counter string) (int64, error)

	PutAudit(Audit) error
	PutEvent(Event) error
	NumberEvents([]Event) error // writes their Number, by Seq
	MarkPublished(at time.Time, p []Published) error
	PutSignal(key string, at time.Time) error
	ParkEvent(seq int64, at time.Time, reason string) error // takes a pending event aside
	UnparkEvent(seq int64) error                            // makes it pending again, in its old place; ErrNotFound when it is not parked

	PutSubscriber(Subscriber) error // with its progress
	PutProgress(subscription string, p Progress) error
	DeleteSubscriber(id string) error       // with its notices; numbers begin again
	PutNotice(Notice) error                 // under the next number of its subscription
	ReleaseSubscribers(holder string) error // ends the leases of a holder that is no more

	// Forget removes what is no longer needed: signals, attempts, published events, notices that
	// need no more sending and idempotency keys older than before, expired
	// sign-ins, codes and cursors.
	Forget(before, now time.Time) error
}
