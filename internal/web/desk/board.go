package desk

import (
	"cmp"
	"context"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/web/ui"
	"github.com/jumpa-hie/jumpa/mycore"
	"github.com/jumpa-hie/jumpa/source"
)

// state is how far the consultation of one patient is.
type state string

const (
	arriving  state = "arriving"  // booked, not here yet
	waiting   state = "waiting"   // checked in
	ready     state = "ready"     // let in, not joined yet
	inCall    state = "incall"    // has joined
	done      state = "done"      // finished
	missed    state = "missed"    // did not come
	cancelled state = "cancelled" // called off by either side
	abandoned state = "abandoned" // came, but was never started
)

// states says where each state stands on the board and how it is called.
var states = map[state]struct {
	Lane  lane
	Text  ui.Key
	Class string // of the chip
}{
	arriving:  {laneArriving, "desk.state.arriving", "off"},
	waiting:   {laneWaiting, "desk.state.waiting", "warn"},
	ready:     {laneSession, "desk.state.ready", "act"},
	inCall:    {laneSession, "desk.state.incall", "good"},
	done:      {laneDone, "desk.state.done", ""},
	missed:    {laneDone, "desk.state.missed", ""},
	cancelled: {laneDone, "desk.state.cancelled", ""},
	abandoned: {laneDone, "desk.state.abandoned", ""},
}

// lane is a column of the board.
type lane int

// The lanes in the order of the board; a group stands in the last but done
// lane that one of its patients has reached.
const (
	laneArriving lane = iota
	laneWaiting
	laneSession
	laneDone
)

// stateOf reads the state of a consultation from its records' statuses;
// encounter is "" before the patient has checked in.
func stateOf(appointment, encounter string) state {
	switch {
	case appointment == "cancelled", appointment == "entered-in-error":
		return cancelled
	case appointment == "noshow":
		return missed
	case appointment == "fulfilled", encounter == "finished":
		return done
	case encounter == "unknown", encounter == "cancelled":
		return abandoned
	case encounter == "in-progress":
		return inCall
	case appointment == "arrived":
		return ready
	case encounter == "arrived":
		return waiting
	}
	return arriving
}

// person is one patient's consultation: an Appointment and, from check-in on,
// an Encounter.
type person struct {
	ID               string // of the Appointment
	Kind             string // VCI or VCE
	Patient          string // id
	Name             string
	Service          string // name
	Practitioner     string // id, "" for none
	PractitionerName string
	Start, End       time.Time
	State            state
	Encounter        string    // id, "" before check-in
	CheckedIn        time.Time // zero before
	token            string
	appointment      seen
	encounter        seen
}

// seen is what was last seen of a record.
type seen struct {
	status  string
	version int64
}

// Look is how the state shows: text and class of the chip.
func (p person) Look() any { return states[p.State] }

// What pages ask of a state.
func (p person) Arriving() bool  { return p.State == arriving }
func (p person) Waiting() bool   { return p.State == waiting }
func (p person) InSession() bool { return p.State == ready || p.State == inCall }
func (p person) Attended() bool  { return p.State == inCall || p.State == done }

// Minutes is how long the patient has been waiting.
func (p person) Minutes(now time.Time) int {
	if p.CheckedIn.IsZero() || now.Before(p.CheckedIn) {
		return 0
	}
	return int(now.Sub(p.CheckedIn).Minutes())
}

// Late tells whether the start is over, so that a patient who is not here may
// be called missing.
func (p person) Late(now time.Time) bool { return now.After(p.Start) }

// entry is one line of the board: a patient, or a whole group that shares a
// session.
type entry struct {
	person  // the first; its id names the entry
	People  []person
	IsGroup bool
}

// Path is the page of the entry.
func (e entry) Path() string { return Root + "visits/" + url.PathEscape(e.ID) }

// Lane is where the entry stands.
func (e entry) Lane() lane {
	for _, l := range []lane{laneSession, laneWaiting, laneArriving} {
		if slices.ContainsFunc(e.People, func(p person) bool { return states[p.State].Lane == l }) {
			return l
		}
	}
	return laneDone
}

// Here counts those who have checked in and are not done.
func (e entry) Here() (n int) {
	for _, p := range e.People {
		if p.Waiting() || p.InSession() {
			n++
		}
	}
	return n
}

// Longest is the longest wait in minutes among those who wait.
func (e entry) Longest(now time.Time) (longest int) {
	for _, p := range e.People {
		if p.Waiting() {
			longest = max(longest, p.Minutes(now))
		}
	}
	return longest
}

// Patience is the class of a wait: it turns after 10 and after 20 minutes.
func (e entry) Patience(now time.Time) string {
	switch n := e.Longest(now); {
	case n >= 20:
		return "bad"
	case n >= 10:
		return "warn"
	}
	return ""
}

// Startable tells whether somebody waits to be let in.
func (e entry) Startable() bool { return e.Lane() == laneWaiting }

// Open tells whether the room is open.
func (e entry) Open() bool { return e.Lane() == laneSession }

// session gives the token, "" before there is one.
func (e entry) session() string {
	for _, p := range e.People {
		if p.token != "" {
			return p.token
		}
	}
	return ""
}

// service is a HealthcareService of the organisation.
type service struct{ ID, Name, Kind, Specialty string }

// board is the day of one organisation, as last read from the exchange.
type board struct {
	org   Organization
	clock func() time.Time
	stale chan struct{} // holds one wish to read again

	reading sync.Mutex // one reader at a time

	mu       sync.Mutex
	loaded   bool
	people   []person
	services []service
	watchers map[chan struct{}]bool
}

func newBoard(org Organization, clock func() time.Time) *board {
	return &board{org: org, clock: clock, stale: make(chan struct{}, 1), watchers: map[chan struct{}]bool{}}
}

// touch asks for the board to be read again.
func (b *board) touch() {
	select {
	case b.stale <- struct{}{}:
	default:
	}
}

// watch gives a channel that fires when the board has changed.
func (b *board) watch() (<-chan struct{}, func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	wake := make(chan struct{}, 1)
	b.watchers[wake] = true
	return wake, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.watchers, wake)
	}
}

// read reads the day from the exchange.
func (b *board) read(ctx context.Context) error {
	b.reading.Lock()
	defer b.reading.Unlock()
	services, err := b.readServices(ctx)
	if err != nil {
		return err
	}
	from, to := b.span()
	people, err := b.search(ctx, services, url.Values{
		"date": {"ge" + fhir.FormatDateTime(from), "lt" + fhir.FormatDateTime(to)}, "_sort": {"date"},
	})
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.services = services
	b.put(people, true)
	b.loaded = true
	return nil
}

// refresh reads some of the people again.
func (b *board) refresh(ctx context.Context, people []person) error {
	var ids []string
	for _, p := range people {
		ids = append(ids, p.ID)
	}
	fresh, err := b.search(ctx, b.snapshot().Services, url.Values{"_id": {strings.Join(ids, ",")}})
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.put(fresh, false)
	return nil
}

// apply takes over what an event brings along; an event that brings no records
// asks for the board to be read again, unless it is about something else.
func (b *board) apply(e source.Event) {
	if ref, _ := fhir.ParseReference(e.Subject, ""); ref.Type != "Encounter" && ref.Type != "Appointment" {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var appointment, encounter *fhir.Document
	for _, doc := range append([]*fhir.Document{e.Focus}, e.Included...) {
		switch {
		case doc == nil:
		case doc.Type() == "Appointment":
			appointment = doc
		case doc.Type() == "Encounter":
			encounter = doc
		}
	}
	if appointment == nil || !b.loaded {
		b.touch()
		return
	}
	name, ours := provided(appointment, b.services)
	from, to := b.span()
	p := personOf(appointment, encounter, name)
	if ours && mycore.IsVirtual(appointment) && !p.Start.Before(from) && p.Start.Before(to) {
		b.put([]person{p}, false)
	}
}

// put takes people over, of whom older news change nothing; all says that they
// are the whole day. Those who watch wake when something has changed.
func (b *board) put(people []person, all bool) {
	at := make(map[string]int, len(b.people))
	for i, p := range b.people {
		at[p.ID] = i
	}
	before := b.people
	if all {
		b.people = make([]person, 0, len(people))
	}
	changed := all && len(people) != len(before)
	for _, p := range people {
		i, known := at[p.ID]
		if known {
			p = p.after(before[i])
		}
		changed = changed || !known || p != before[i]
		if known && !all {
			b.people[i] = p
		} else {
			b.people = append(b.people, p)
		}
	}
	if !changed {
		return
	}
	slices.SortFunc(b.people, func(a, b person) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	for wake := range b.watchers {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}

// after gives the newer of what is known of a person's two records.
func (p person) after(before person) person {
	if before.appointment.version > p.appointment.version {
		newer := before
		newer.Encounter, newer.CheckedIn, newer.encounter = p.Encounter, p.CheckedIn, p.encounter
		newer.token = cmp.Or(p.token, before.token)
		p = newer
	}
	if before.encounter.version > p.encounter.version {
		p.Encounter, p.CheckedIn, p.encounter = before.Encounter, before.CheckedIn, before.encounter
		p.token = cmp.Or(before.token, p.token)
	}
	p.State = stateOf(p.appointment.status, p.encounter.status)
	return p
}

func (b *board) readServices(ctx context.Context) ([]service, error) {
	docs, err := b.org.Client.SearchAll(ctx, "HealthcareService", url.Values{"organization": {"Organization/" + b.org.ID}, "_count": {"200"}})
	if err != nil {
		return nil, err
	}
	var list []service
	for _, doc := range docs {
		s := service{ID: doc.ID(), Name: doc.Get("name").String(), Specialty: doc.Get("specialty.coding.code").String()}
		for c := range doc.All("type.coding") {
			if mycore.Normalize(c.Get("system").String()) == mycore.SystemServiceType {
				s.Kind = c.Get("code").String()
			}
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b service) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

const (
	// around is how far the day reaches beyond midnight on both sides, so that
	// nobody falls off the board in a night shift.
	around = 6 * time.Hour

	// most bounds the people on a board; those after them are left out.
	most = 2000
)

// span is the time that the board shows.
func (b *board) span() (from, to time.Time) {
	now := b.clock()
	from, to = ui.DayOf(now)
	if early := now.Add(-around); early.Before(from) {
		from = early
	}
	if late := now.Add(around); late.After(to) {
		to = late
	}
	return from, to
}

// search finds Appointments for the services, with their Encounters.
func (b *board) search(ctx context.Context, services []service, params url.Values) ([]person, error) {
	params.Set("_revinclude", "Encounter:appointment")
	params.Set("_count", "200")
	encounters := map[string]*fhir.Document{} // by reference of the Appointment
	var appointments []*fhir.Document
	for doc, err := range b.org.Client.Search(ctx, "Appointment", params) {
		if err != nil {
			return nil, err
		}
		if doc.Type() == "Encounter" {
			encounters[doc.Get("appointment.reference").String()] = doc
			continue
		}
		if len(appointments) == most {
			break
		}
		appointments = append(appointments, doc)
	}
	var people []person
	for _, doc := range appointments {
		if name, ours := provided(doc, services); ours && mycore.IsVirtual(doc) {
			people = append(people, personOf(doc, encounters["Appointment/"+doc.ID()], name))
		}
	}
	return people, nil
}

// provided finds the service of an Appointment among those of the
// organisation.
func provided(doc *fhir.Document, services []service) (name string, ok bool) {
	for _, ref := range mycore.Actors(doc, "HealthcareService") {
		for _, s := range services {
			if strings.HasSuffix(ref, "HealthcareService/"+s.ID) {
				return s.Name, true
			}
		}
	}
	return "", false
}

func personOf(doc, encounter *fhir.Document, service string) person {
	p := person{ID: doc.ID(), Kind: mycore.ServiceType(doc), Service: service, token: mycore.Token(doc)}
	p.Patient, p.Name = actor(doc, "Patient")
	p.Practitioner, p.PractitionerName = actor(doc, "Practitioner")
	p.Start, p.End = moment(doc, "start"), moment(doc, "end")
	p.appointment = seenOf(doc)
	if encounter != nil {
		p.encounter = seenOf(encounter)
		p.Encounter, p.token = encounter.ID(), cmp.Or(mycore.Token(encounter), p.token)
		p.CheckedIn = moment(encounter, "period.start")
	}
	p.State = stateOf(p.appointment.status, p.encounter.status)
	return p
}

func seenOf(doc *fhir.Document) seen {
	version, _ := doc.Get("meta.versionId").Int()
	return seen{doc.Get("status").String(), version}
}

// moment gives a time in UTC, so that equal times compare as equal.
func moment(doc *fhir.Document, path string) time.Time {
	t, _ := doc.Get(path).Time()
	return t.UTC()
}

func actor(doc *fhir.Document, typ string) (id, name string) {
	for a := range doc.All("participant.actor") {
		if ref, ok := fhir.ParseReference(a.Get("reference").String(), ""); ok && ref.Type == typ {
			return ref.ID, a.Get("display").String()
		}
	}
	return "", ""
}

// day is the board as a page shows it.
type day struct {
	Entries  []entry
	Services []service
}

// look gives the board as last read; the first look reads it.
func (b *board) look(ctx context.Context) (day, error) {
	b.mu.Lock()
	loaded := b.loaded
	b.mu.Unlock()
	if !loaded {
		if err := b.read(ctx); err != nil {
			return day{}, err
		}
	}
	return b.snapshot(), nil
}

// now gives an entry as it stands now: acts rest on that. ok is false when the
// board does not have it.
func (b *board) now(ctx context.Context, id string) (e entry, p person, ok bool, err error) {
	v, err := b.look(ctx)
	if err != nil {
		return e, p, false, err
	}
	if e, p, ok = v.find(id); !ok {
		return e, p, false, nil
	}
	if err := b.refresh(ctx, e.People); err != nil {
		return e, p, false, err
	}
	e, p, ok = b.snapshot().find(id)
	return e, p, ok, nil
}

func (b *board) snapshot() day {
	b.mu.Lock()
	defer b.mu.Unlock()
	groups := map[string]int{} // index of the entry by session token
	v := day{Services: b.services}
	for _, p := range b.people {
		if p.Kind != "VCE" || p.token == "" {
			v.Entries = append(v.Entries, entry{person: p, People: []person{p}})
			continue
		}
		if i, there := groups[p.token]; there {
			v.Entries[i].People = append(v.Entries[i].People, p)
			continue
		}
		groups[p.token] = len(v.Entries)
		v.Entries = append(v.Entries, entry{person: p, People: []person{p}, IsGroup: true})
	}
	return v
}

// lane gives the entries of a lane.
func (d day) lane(l lane) (list []entry) {
	for _, e := range d.Entries {
		if e.Lane() == l {
			list = append(list, e)
		}
	}
	return list
}

// find gives the entry that an Appointment belongs to.
func (d day) find(id string) (e entry, p person, ok bool) {
	for _, e := range d.Entries {
		for _, p := range e.People {
			if p.ID == id {
				return e, p, true
			}
		}
	}
	return entry{}, person{}, false
}

// Waiting names everybody who waits: a page rings when a name is new.
func (d day) Waiting() string {
	var ids []string
	for _, e := range d.Entries {
		for _, p := range e.People {
			if p.State == waiting {
				ids = append(ids, p.ID)
			}
		}
	}
	return strings.Join(ids, " ")
}
