package fault

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/mycore"
	"github.com/jumpa-hie/jumpa/source"
)

// audit asks the exchange, through its public interfaces, for everything that
// it has acknowledged.
type audit struct {
	*load
	mu   sync.Mutex
	lost int
}

// miss reports something acknowledged that is not there.
func (a *audit) miss(format string, args ...any) {
	a.t.Helper()
	a.mu.Lock()
	a.lost++
	a.mu.Unlock()
	a.t.Errorf("LOST: "+format, args...)
}

// each runs check for every element, some at a time.
func each[T any](list []T, check func(T)) {
	var wg sync.WaitGroup
	next := make(chan T)
	for range 8 {
		wg.Go(func() {
			for v := range next {
				check(v)
			}
		})
	}
	for _, v := range list {
		next <- v
	}
	close(next)
	wg.Wait()
}

// checkWrites expects each acknowledged version, byte for byte as it was answered,
// and an audit record for each.
func (a *audit) checkWrites(ctx context.Context) (versions, audited int) {
	newest, versionsOf := map[string]int64{}, map[string]map[int64]bool{}
	for _, w := range a.writes {
		newest[w.ref] = max(newest[w.ref], w.version)
		if versionsOf[w.ref] == nil {
			versionsOf[w.ref] = map[int64]bool{}
		}
		versionsOf[w.ref][w.version] = true
	}
	each(a.writes, func(w write) {
		doc, err := a.sys.Get(ctx, w.ref+"/_history/"+strconv.FormatInt(w.version, 10))
		switch {
		case err != nil:
			a.miss("version %d of %s: %v", w.version, w.ref, err)
		case w.body != [sha256.Size]byte{} && sha256.Sum256(doc.Bytes()) != w.body:
			a.miss("version %d of %s is not the one that was acknowledged", w.version, w.ref)
		}
	})
	var mu sync.Mutex
	each(slices.Collect(maps.Keys(newest)), func(ref string) {
		doc, err := a.sys.Get(ctx, ref)
		if err != nil {
			a.miss("%s: %v", ref, err)
			return
		}
		if v, _ := doc.Get("meta.versionId").Int(); v < newest[ref] {
			a.miss("%s is at version %d, and version %d was acknowledged", ref, v, newest[ref])
		}
		n := len(a.trail(ctx, ref, "create", "update"))
		if n < len(versionsOf[ref]) {
			a.miss("%d versions of %s were acknowledged, and %d changes are in the audit trail", len(versionsOf[ref]), ref, n)
		}
		mu.Lock()
		versions += len(versionsOf[ref])
		audited += n
		mu.Unlock()
	})
	return versions, audited
}

// trail gives the agents of the audited operations on a record.
func (a *audit) trail(ctx context.Context, ref string, operations ...string) (agents []string) {
	for doc, err := range a.sys.Search(ctx, "AuditEvent", url.Values{"entity": {ref}}) {
		if err != nil {
			a.miss("the audit trail of %s: %v", ref, err)
			return agents
		}
		if slices.Contains(operations, doc.Get("subtype.code").String()) {
			agents = append(agents, doc.Root().First("agent.who.display").String())
		}
	}
	return agents
}

// checkSlots counts the bookings of each slot.
func (a *audit) checkSlots(ctx context.Context) {
	live := []string{"pending", "booked", "checked-in", "arrived", "fulfilled", "noshow"}
	each(slices.Collect(maps.Keys(a.slots)), func(id string) {
		slot, err := a.sys.Get(ctx, "Slot/"+id)
		if err != nil {
			a.miss("Slot/%s: %v", id, err)
			return
		}
		list, err := a.sys.SearchAll(ctx, "Appointment", url.Values{"slot": {"Slot/" + id}})
		if err != nil {
			a.t.Errorf("the bookings of Slot/%s: %v", id, err)
			return
		}
		taken := 0
		for _, app := range list {
			if slices.Contains(live, app.Get("status").String()) {
				taken++
			}
		}
		quota, available, _ := mycore.Quota(slot)
		want := "free"
		if taken == a.slots[id] {
			want = "busy"
		}
		if quota != int64(a.slots[id]) || taken > a.slots[id] || available != quota-int64(taken) || !slot.Get("status").Is(want) {
			a.t.Errorf("Slot/%s has a quota of %d, %d live bookings, %d available and is %s", id, quota, taken, available, slot.Get("status").String())
		}
	})
}

// agree is the table of states: how Appointment, Encounter and the patient's
// page belong together. Without an Encounter its status is "".
var agree = map[[3]string]bool{
	{"booked", "", "open"}:                true,
	{"cancelled", "", "cancelled"}:        true,
	{"checked-in", "arrived", "waiting"}:  true,
	{"arrived", "arrived", "ready"}:       true,
	{"arrived", "in-progress", "incall"}:  true,
	{"fulfilled", "finished", "finished"}: true,
	{"cancelled", "unknown", "cancelled"}: true,
}

// checkVisits looks at each Appointment from all sides.
func (a *audit) checkVisits(ctx context.Context) {
	owner := map[string]*phone{}
	for _, p := range a.phones {
		owner["Patient/"+p.ID] = p
	}
	known := map[string]bool{}
	for _, w := range a.writes {
		if id, ok := strings.CutPrefix(w.ref, "Appointment/"); ok {
			known[id] = true
		}
	}
	each(slices.Collect(maps.Keys(known)), func(id string) {
		app, err := a.sys.Get(ctx, "Appointment/"+id)
		if err != nil {
			return // reported by checkWrites
		}
		list, err := a.sys.SearchAll(ctx, "Encounter", url.Values{"appointment": {"Appointment/" + id}})
		if err != nil {
			a.t.Errorf("the Encounters of Appointment/%s: %v", id, err)
			return
		}
		encounter := ""
		v, came := a.visits[id]
		switch {
		case len(list) > 1:
			a.t.Errorf("Appointment/%s has %d Encounters", id, len(list))
		case len(list) == 0 && came:
			a.miss("Encounter/%s of Appointment/%s", v.encounter, id)
			return
		case len(list) == 1:
			encounter = list[0].Get("status").String()
			if now := (visit{list[0].ID(), mycore.Token(list[0])}); came && now != v {
				a.t.Errorf("Appointment/%s had Encounter/%s and has Encounter/%s now, or another token", id, v.encounter, now.encounter)
			}
			a.checkEncounter(ctx, list[0])
		}
		var page string
		for actor := range app.All("participant.actor.reference") {
			if p := owner[actor.String()]; p != nil {
				if page, err = p.phase(ctx, id); err != nil {
					a.t.Error(err)
				}
			}
		}
		if got := [3]string{app.Get("status").String(), encounter, page}; !agree[got] {
			a.t.Errorf("Appointment/%s: Appointment, Encounter and page say %q", id, got)
		}
		if a.left[id] && !app.Get("status").Is("cancelled") {
			a.miss("the cancellation of Appointment/%s", id)
		}
		if n := len(a.trail(ctx, "Appointment/"+id, "cancel")); a.left[id] && n == 0 {
			a.miss("the patient's cancellation of Appointment/%s is not in the audit trail", id)
		}
	})
}

func (a *audit) checkEncounter(ctx context.Context, doc *fhir.Document) {
	ref := "Encounter/" + doc.ID()
	if n := len(a.trail(ctx, ref, "check-in")); n != 1 {
		a.t.Errorf("%d check-ins to %s are in the audit trail", n, ref)
	}
	if _, err := a.sys.Get(ctx, "Consent/"+doc.ID()); err != nil {
		a.miss("the consent of %s: %v", ref, err)
	}
	rated := doc.Root().Extension(mycore.ExtensionEncounterRating).Exists()
	if a.rated[doc.ID()] && (!rated || len(a.trail(ctx, ref, "rate")) == 0) {
		a.miss("the rating of %s", ref)
	}
}

// checkSessions sees that every session is at least as far as acknowledged,
// that each individual consultation has one of its own, and each group one.
func (a *audit) checkSessions(ctx context.Context) {
	order := []string{"created", "active", "ended"}
	each(slices.Collect(maps.Keys(a.sessions)), func(token string) {
		s, err := a.sys.Session(ctx, token)
		switch {
		case err != nil:
			a.miss("a session: %v", err)
		case slices.Index(order, s.Status) < slices.Index(order, a.sessions[token]):
			a.miss("a session that was %s is %s", a.sessions[token], s.Status)
		}
	})
	used := map[string]string{}
	for id, v := range a.visits {
		used[v.token] += " " + id
	}
	for token, ids := range used {
		of := strings.Fields(ids)
		group, isGroup := a.groups[token]
		switch {
		case isGroup && slices.ContainsFunc(of, func(id string) bool { return !slices.Contains(group, id) }):
			a.t.Error("an Encounter carries the token of a group that it does not belong to")
		case !isGroup && len(of) > 1:
			a.t.Errorf("%d individual consultations share a token", len(of))
		}
	}
	for token, ids := range a.groups {
		for _, id := range ids {
			if v, came := a.visits[id]; came && v.token != token {
				a.t.Errorf("Encounter/%s does not carry the token of its group", v.encounter)
			}
		}
	}
}

func (a *audit) checkInboxes(ctx context.Context) {
	for _, p := range a.phones {
		p.readInbox(ctx, a.ledger)
	}
}

// message is one message on the topic.
type message struct {
	id     string // ce_id
	number int64  // of the event within its topic
	status string
	doc    *fhir.Document
}

// topic reads the topic from its start to its end, by key.
func (a *audit) topic(ctx context.Context, broker, name string) (byKey map[string][]message, total int) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics(name), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		a.t.Fatal(err)
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, name)
	if err != nil {
		a.t.Fatal(err)
	}
	byKey = map[string][]message{}
	for _, partitions := range ends {
		for _, end := range partitions {
			total += int(end.Offset)
		}
	}
	for read := 0; read < total; {
		for _, rec := range cl.PollFetches(ctx).Records() {
			headers := map[string]string{}
			for _, h := range rec.Headers {
				headers[h.Key] = string(h.Value)
			}
			e, err := source.ParseEvent(headers, rec.Value)
			if err != nil || e.Focus == nil {
				a.t.Fatalf("a message on %s is no event with a record: %v", name, err)
			}
			byKey[string(rec.Key)] = append(byKey[string(rec.Key)], message{e.ID, number(e), e.Focus.Get("status").String(), e.Focus})
			read++
		}
		if ctx.Err() != nil {
			a.t.Fatalf("%d of %d messages of %s were read", read, total, name)
		}
	}
	return byKey, total
}

// number gives the number of an event within its topic.
func number(e source.Event) int64 {
	for entry := range e.Bundle.All("entry") {
		for p := range entry.Get("resource").All("parameter") {
			for part := range p.All("part") {
				if part.Get("name").Is("event-number") {
					n, _ := strconv.ParseInt(part.Get("valueString").String(), 10, 64)
					return n
				}
			}
		}
	}
	return 0
}

// checkNumbers expects the numbers of a topic to have no gap, and to be of one
// event each.
func (a *audit) checkNumbers(byKey map[string][]message) {
	of := map[int64]string{}
	for _, log := range byKey {
		for _, m := range log {
			if other, taken := of[m.number]; taken && other != m.id {
				a.t.Errorf("the events %s and %s both have number %d", m.id, other, m.number)
			}
			of[m.number] = m.id
		}
	}
	for n := int64(1); n <= int64(len(of)); n++ {
		if of[n] == "" {
			a.miss("of %d events none has number %d", len(of), n)
		}
	}
}

// checkEvents compares the topic with the history of every Encounter: each
// status at least once, first in their order, nothing that was not stored, and
// the latest one last. heard is what a consumer has handled that lived through
// all crashes.
func (a *audit) checkEvents(ctx context.Context, broker string, heard map[string]bool) (events, again int) {
	byKey, total := a.topic(ctx, broker, source.EncounterTopic(a.org))
	a.checkNumbers(byKey)
	for _, v := range a.visits {
		if key := "Encounter/" + v.encounter; byKey[key] == nil {
			byKey[key] = nil
		}
	}
	var mu sync.Mutex
	each(slices.Collect(maps.Keys(byKey)), func(ref string) {
		var want []*fhir.Document // the versions that changed the status
		for n := int64(1); ; n++ {
			doc, err := a.sys.Get(ctx, fmt.Sprintf("%s/_history/%d", ref, n))
			if isStatus(err, 404) {
				break
			}
			if err != nil {
				a.miss("version %d of %s: %v", n, ref, err)
				return
			}
			if len(want) == 0 || want[len(want)-1].Get("status").String() != doc.Get("status").String() {
				want = append(want, doc)
			}
		}
		a.checkHistory(ref, want)
		a.compareEvents(ref, byKey[ref], want)
		mu.Lock()
		defer mu.Unlock()
		events += len(want)
		for _, m := range byKey[ref] {
			if !heard[m.id] {
				a.miss("the event %s of %s did not reach the consumer", m.id, ref)
			}
		}
	})
	return events, total - events
}

// checkHistory expects all earlier statuses in the last version.
func (a *audit) checkHistory(ref string, changes []*fhir.Document) {
	if len(changes) == 0 {
		return
	}
	doc, err := a.sys.Get(a.t.Context(), ref)
	if err != nil {
		a.miss("%s: %v", ref, err)
		return
	}
	want, got := []string{"planned"}, []string{}
	for _, d := range changes[:len(changes)-1] {
		want = append(want, d.Get("status").String())
	}
	for h := range doc.All("statusHistory") {
		got = append(got, h.Get("status").String())
	}
	if !slices.Equal(got, want) {
		a.t.Errorf("the statusHistory of %s tells %q, and it was %q", ref, got, want)
	}
}

func (a *audit) compareEvents(ref string, log []message, want []*fhir.Document) {
	var first []message // each event, as it came first
	for _, m := range log {
		if !slices.ContainsFunc(first, func(f message) bool { return f.id == m.id }) {
			first = append(first, m)
		}
	}
	for i, doc := range want {
		if i >= len(first) {
			a.miss("no event tells that %s is %s", ref, doc.Get("status").String())
			continue
		}
		if string(first[i].doc.Bytes()) != string(doc.Bytes()) {
			a.t.Errorf("event %d of %s tells of %s, version %s, in place of %s, version %s", i+1, ref,
				first[i].status, first[i].doc.Get("meta.versionId").String(), doc.Get("status").String(), doc.Get("meta.versionId").String())
		}
	}
	if len(first) > len(want) {
		a.t.Errorf("%d events tell of %s, which has changed its status %d times", len(first), ref, len(want))
	}
	// What a node had sent when it fell asleep may come late.
	if n := len(log); !a.site.tardy && n > 0 && len(first) > 0 && log[n-1].id != first[len(first)-1].id {
		a.t.Errorf("the last event of %s is not its latest", ref)
	}
}

// everyEncounter adds the Encounters that nobody was told of to what is known.
func (a *audit) everyEncounter(ctx context.Context, t *testing.T) int {
	n := 0
	for doc, err := range a.sys.Search(ctx, "Encounter", url.Values{"_count": {"200"}}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		ref, _ := fhir.ParseReference(doc.Root().First("appointment.reference").String(), "")
		if _, known := a.visits[ref.ID]; !known {
			a.visits[ref.ID] = visit{doc.ID(), mycore.Token(doc)}
		}
	}
	return n
}
