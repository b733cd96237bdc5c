package fault

import (
	"context"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/app"
	"github.com/jumpa-hie/jumpa/mycore"
	"github.com/jumpa-hie/jumpa/source"
)

// load is what hospitals and patients do while the exchange is harmed.
type load struct {
	*ledger
	site      *site
	blunt     *blunt
	sys       *source.Client
	org       string
	services  map[string]string // HealthcareService by service type
	specialty map[string]string
	phones    []*phone
	began     time.Time
	end       chan struct{} // closed when nothing new is to be begun
}

func newLoad(t *testing.T, at *site) *load {
	t.Helper()
	cast := at.cast
	c := cast.Clients[0]
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64
	sys, err := source.New(source.Config{
		Server: at.url, ClientID: c.ClientID, ClientSecret: c.ClientSecret, Kafka: []string{at.kafka},
		HTTPClient: &http.Client{Transport: transport, Timeout: 30 * time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	l := &load{
		ledger: newLedger(t), site: at, sys: sys, blunt: &blunt{server: at.url, id: c.ClientID, secret: c.ClientSecret, http: &http.Client{Transport: transport, Timeout: 30 * time.Second}},
		org: c.Organization, services: map[string]string{}, specialty: map[string]string{},
		began: time.Now(), end: make(chan struct{}),
	}
	ctx := t.Context()
	for _, s := range cast.HealthcareServices {
		if s.Organization != c.Organization {
			continue
		}
		hs, err := sys.Get(ctx, "HealthcareService/"+s.ID)
		if err != nil {
			t.Fatal(err)
		}
		l.services[s.ServiceType] = s.ID
		l.specialty[s.ServiceType] = hs.Get("specialty.coding.code").String()
	}
	for _, who := range cast.Patients {
		if who.RekodSaya {
			l.phones = append(l.phones, signIn(ctx, t, at.url, who))
		}
	}
	return l
}

// run lets all of them work until the end is closed; what has begun is then
// brought to its end, or given up when ctx ends.
func (l *load) run(ctx context.Context, seed uint64) *sync.WaitGroup {
	var wg sync.WaitGroup
	worker := func(n uint64, act func(context.Context, *rand.Rand)) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, n))
			for {
				select {
				case <-l.end:
					return
				case <-ctx.Done():
					return
				case <-time.After(time.Duration(r.IntN(60)) * time.Millisecond):
				}
				act(ctx, r)
			}
		})
	}
	for i, p := range l.phones {
		worker(uint64(100+i), func(ctx context.Context, r *rand.Rand) { l.individual(ctx, r, p) })
	}
	worker(200, l.group)
	worker(300, l.contend)
	worker(301, l.contend)
	for i := range 2 {
		record := l.newRegister(ctx)
		for j := range 3 {
			who := 3*i + j
			worker(uint64(400+who), func(ctx context.Context, r *rand.Rand) { l.touch(ctx, r, who, record) })
		}
	}
	return &wg
}

func (l *load) times() (start, end time.Time) {
	start = l.began.Truncate(time.Minute)
	return start, start.Add(12 * time.Hour)
}

// must unwraps a record that is built here.
func must(doc *fhir.Document, err error) *fhir.Document {
	if err != nil {
		panic(err)
	}
	return doc
}

func (l *load) appointment(id, kind, slot, token string, who app.DemoPatient) *fhir.Document {
	start, end := l.times()
	return must(source.NewAppointment(source.AppointmentParams{
		ID: id, ServiceType: kind, Specialty: l.specialty[kind], HealthcareService: l.services[kind], HealthcareServiceName: "Demo",
		Patient: who.ID, PatientName: who.Name, Start: start, End: end, Slot: slot, Token: token, ScheduleType: "internal",
	}))
}

// put writes a record.
func (l *load) put(ctx context.Context, what string, doc *fhir.Document, expected ...int) (source.Result, bool) {
	r, err := l.sys.Put(ctx, doc)
	if !l.settle(what, err, expected...) {
		return r, false
	}
	l.wrote(r)
	return r, true
}

// change reads a record, changes it and writes it back unless somebody else
// was quicker.
func (l *load) change(ctx context.Context, what, ref string, edit func(*fhir.Document) *fhir.Document, expected ...int) (source.Result, bool) {
	doc, err := l.sys.Get(ctx, ref)
	if !l.settle("read", err) {
		return source.Result{}, false
	}
	version, _ := doc.Get("meta.versionId").Int()
	r, err := l.sys.PutIf(ctx, edit(doc), version)
	if !l.settle(what, err, append(expected, http.StatusPreconditionFailed)...) {
		return r, false
	}
	if r.Version != version+1 {
		l.t.Errorf("%s: version %d of %s was changed under If-Match and became version %d", what, version, ref, r.Version)
	}
	l.wrote(r)
	return r, true
}

func status(to string) func(*fhir.Document) *fhir.Document {
	return func(doc *fhir.Document) *fhir.Document { return must(doc.With(fhir.Set("status", to))) }
}

func finished(doc *fhir.Document) *fhir.Document {
	return must(source.FinishEncounter(doc, source.FinishParams{At: time.Now(), Outcome: "1", PractitionerName: "Dr. Farid"}))
}

// slot makes a Schedule with a Slot.
func (l *load) slot(ctx context.Context, kind, token string, quota int) (string, bool) {
	start, end := l.times()
	schedule := must(source.NewSchedule(source.ScheduleParams{
		ID: uuid.NewString(), ServiceType: kind, Specialty: l.specialty[kind], HealthcareService: l.services[kind],
		HealthcareServiceName: "Demo", Start: start, End: end, Token: token, ScheduleType: "internal",
	}))
	slot := must(source.NewSlot(source.SlotParams{
		ID: uuid.NewString(), Schedule: schedule.ID(), ServiceType: kind, Specialty: l.specialty[kind],
		Start: start, End: end, Quota: quota, Token: token, ScheduleType: "internal",
	}))
	_, err := l.sys.Transaction(ctx, must(source.NewTransaction(schedule, slot)))
	if !l.settle("transaction", err) {
		return "", false
	}
	l.with(func() {
		l.slots[slot.ID()] = quota
		l.writes = append(l.writes, write{ref: "Schedule/" + schedule.ID(), version: 1}, write{ref: "Slot/" + slot.ID(), version: 1})
	})
	return slot.ID(), true
}

// contend has many book a slot at the same time. Exactly its quota gets in.
func (l *load) contend(ctx context.Context, r *rand.Rand) {
	quota := 1 + r.IntN(4)
	slot, ok := l.slot(ctx, mycore.ServiceIndividual, "", quota)
	if !ok {
		return
	}
	callers := quota + 1 + r.IntN(4)
	booked, errs := make([]source.Result, callers), make([]error, callers)
	var wg sync.WaitGroup
	for i := range callers {
		who := l.phones[i%len(l.phones)].DemoPatient
		wg.Go(func() {
			booked[i], errs[i] = l.sys.Put(ctx, l.appointment(uuid.NewString(), mycore.ServiceIndividual, slot, "", who))
		})
	}
	wg.Wait()
	var in []source.Result
	refused := 0
	for i, err := range errs {
		if l.settle("booking", err, http.StatusConflict) {
			l.wrote(booked[i])
			in = append(in, booked[i])
		} else if isStatus(err, http.StatusConflict) {
			refused++
		}
	}
	if len(in) > quota || len(in)+refused == callers && len(in) != quota {
		l.t.Errorf("Slot/%s has a quota of %d, and %d of %d bookings were acknowledged", slot, quota, len(in), callers)
	}
	if len(in) == 0 || r.IntN(2) == 0 {
		return
	}
	if _, ok := l.change(ctx, "cancellation", "Appointment/"+in[0].Doc.ID(), status("cancelled")); !ok {
		return
	}
	doc := l.appointment(uuid.NewString(), mycore.ServiceIndividual, slot, "", l.phones[0].DemoPatient)
	if len(in) == quota && !l.site.tardy { // all are known, so that the place of the cancelled one is free
		l.put(ctx, "rebooking", doc)
	} else {
		l.put(ctx, "rebooking", doc, http.StatusConflict)
	}
}

// individual is one VCI consultation, which ends in one of many ways.
func (l *load) individual(ctx context.Context, r *rand.Rand, p *phone) {
	id, slot := uuid.NewString(), ""
	if r.IntN(3) == 0 {
		if slot, _ = l.slot(ctx, mycore.ServiceIndividual, "", 1+r.IntN(2)); slot == "" {
			return
		}
	}
	if _, ok := l.put(ctx, "booking", l.appointment(id, mycore.ServiceIndividual, slot, "", p.DemoPatient)); !ok {
		return
	}
	if r.IntN(12) == 0 {
		l.leave(ctx, p, id) // without having come
		return
	}
	if !p.checkIn(ctx, l.ledger, id, 1+r.IntN(3)) {
		return
	}
	v, ok := l.visit(ctx, id)
	if !ok {
		return
	}
	if r.IntN(4) == 0 { // taps again later
		p.checkIn(ctx, l.ledger, id, 1)
		l.visit(ctx, id)
	}
	switch r.IntN(12) {
	case 0:
		return // waits
	case 1:
		l.leave(ctx, p, id)
		return
	case 2:
		l.change(ctx, "cancellation", "Appointment/"+id, status("cancelled"))
		return
	}
	if !l.call(ctx, p, id, v) {
		return
	}
	l.notify(ctx, r, p)
	switch r.IntN(10) {
	case 0:
		return // is ready
	case 1:
		l.leave(ctx, p, id)
		return
	}
	if r.IntN(2) == 0 {
		if _, ok := l.change(ctx, "start", "Encounter/"+v.encounter, status("in-progress")); !ok {
			return
		}
	}
	if !l.finish(ctx, r, v) {
		return
	}
	if r.IntN(3) == 0 && p.pressUntil(ctx, l.ledger, id, "rating", url.Values{"rating": {strconv.Itoa(1 + r.IntN(5))}}) {
		l.with(func() { l.rated[v.encounter] = true })
	}
	if r.IntN(3) > 0 {
		l.session(ctx, v.token, l.sys.End, "ended")
	}
}

// call activates the session while the patient waits at the page, which must
// say so.
func (l *load) call(ctx context.Context, p *phone, appointment string, v visit) bool {
	waiting, leave := context.WithCancel(ctx)
	defer leave()
	told := make(chan error, 1)
	go func() { told <- p.await(waiting, appointment) }()
	if !l.session(ctx, v.token, l.sys.Activate, "active") {
		leave()
		<-told
		return false
	}
	since := time.Now()
	giveUp := time.AfterFunc(patience, leave)
	defer giveUp.Stop()
	if err := <-told; err != nil {
		if ctx.Err() == nil {
			l.t.Errorf("the page of Appointment/%s never said that the patient may join: %v", appointment, err)
		}
		return false
	}
	l.with(func() { l.called = append(l.called, time.Since(since)) })
	return true
}

func (l *load) leave(ctx context.Context, p *phone, appointment string) {
	if p.pressUntil(ctx, l.ledger, appointment, "cancel", nil) {
		l.with(func() { l.left[appointment] = true })
	}
}

// finish finishes an Encounter, under If-Match or without.
func (l *load) finish(ctx context.Context, r *rand.Rand, v visit) bool {
	ref := "Encounter/" + v.encounter
	if r.IntN(2) == 0 {
		_, ok := l.change(ctx, "finish", ref, finished)
		return ok
	}
	doc, err := l.sys.Get(ctx, ref)
	if !l.settle("read", err) {
		return false
	}
	done := finished(doc)
	_, ok := l.put(ctx, "finish", done)
	if ok && r.IntN(3) == 0 {
		_, ok = l.put(ctx, "finish", done) // as one does who has not heard the answer
	}
	return ok
}

// visit looks up the Encounter of a checked-in Appointment and notes it.
func (l *load) visit(ctx context.Context, appointment string) (visit, bool) {
	list, err := l.sys.SearchAll(ctx, "Encounter", url.Values{"appointment": {"Appointment/" + appointment}})
	if !l.settle("search", err) {
		return visit{}, false
	}
	if len(list) != 1 {
		l.t.Errorf("LOST or doubled: Appointment/%s is checked in and has %d Encounters", appointment, len(list))
		return visit{}, false
	}
	v := visit{list[0].ID(), mycore.Token(list[0])}
	l.checkedIn(appointment, v)
	return v, true
}

// session changes a session and notes what it has become.
func (l *load) session(ctx context.Context, token string, change func(context.Context, string) (source.Session, error), to string) bool {
	s, err := change(ctx, token)
	if !l.settle("session "+to, err) {
		return false
	}
	if s.Status != to {
		l.t.Errorf("a session is %q and not %q", s.Status, to)
	}
	l.with(func() { l.sessions[token] = to })
	return true
}

// notify sends a message, again under the same key until it is acknowledged,
// and sometimes once more.
func (l *load) notify(ctx context.Context, r *rand.Rand, to ...*phone) {
	n := source.Notification{Title: "message " + uuid.NewString(), Body: "You can join now."}
	n.IdempotencyKey = n.Title[len("message "):]
	for _, p := range to {
		n.PatientIDs = append(n.PatientIDs, p.IdentityNumber)
	}
	for range 1 + r.IntN(2) {
		results, err := l.sys.Notify(ctx, n)
		if !l.settle("notification", err) {
			return
		}
		if len(results) != len(to) {
			l.t.Errorf("a message to %d patients has %d results", len(to), len(results))
		}
		for _, res := range results {
			if res.Status != "delivered" {
				l.t.Errorf("a message was not delivered: %s", res.Status)
			}
		}
	}
	l.with(func() {
		l.messages[n.Title] = map[string]bool{}
		for _, p := range to {
			l.messages[n.Title][p.ID] = true
		}
	})
	for _, p := range to {
		p.told(ctx, l.ledger, n.Title)
	}
}

// group is one VCE session: everybody's Encounter carries its token.
func (l *load) group(ctx context.Context, r *rand.Rand) {
	people := l.phones[:3+r.IntN(len(l.phones)-2)]
	s, err := l.sys.CreateSession(ctx, source.NewSession{ServiceType: mycore.ServiceEducation, Title: "Class"})
	if !l.settle("session created", err) {
		return
	}
	l.with(func() { l.sessions[s.Token] = "created" })
	slot, ok := l.slot(ctx, mycore.ServiceEducation, s.Token, len(people))
	if !ok {
		return
	}
	booked, visits := make([]string, len(people)), make([]visit, len(people))
	var wg sync.WaitGroup
	for i, p := range people {
		id, fingers := uuid.NewString(), 1+r.IntN(2)
		wg.Go(func() {
			if _, ok := l.put(ctx, "booking", l.appointment(id, mycore.ServiceEducation, slot, s.Token, p.DemoPatient)); !ok {
				return
			}
			booked[i] = id
			if p.checkIn(ctx, l.ledger, id, fingers) {
				visits[i], _ = l.visit(ctx, id)
			}
		})
	}
	wg.Wait()
	l.with(func() {
		for _, id := range booked {
			if id != "" {
				l.groups[s.Token] = append(l.groups[s.Token], id)
			}
		}
	})
	if !l.session(ctx, s.Token, l.sys.Activate, "active") {
		return
	}
	l.notify(ctx, r, people...)
	for _, v := range visits {
		if v.encounter == "" {
			continue
		}
		if v.token != s.Token {
			l.t.Errorf("Encounter/%s does not carry the token of its session", v.encounter)
		}
		wg.Go(func() { l.finish(ctx, rand.New(rand.NewPCG(1, 2)), v) })
	}
	wg.Wait()
	l.session(ctx, s.Token, l.sys.End, "ended")
}
