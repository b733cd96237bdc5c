package desk

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/web/ui"
	"github.com/jumpa-hie/jumpa/mycore"
	"github.com/jumpa-hie/jumpa/source"
)

// What a page says after an act.
var (
	noteStarted   = note{Text: "desk.note.started", Good: true}
	noteUntold    = note{Text: "desk.note.untold"}
	noteReminded  = note{Text: "desk.note.reminded", Good: true}
	noteFinished  = note{Text: "desk.note.finished", Good: true}
	noteMissed    = note{Text: "desk.note.missed", Good: true}
	noteCancelled = note{Text: "desk.note.cancelled", Good: true}
	noteBooked    = note{Text: "desk.note.booked", Good: true}
	noteGroup     = note{Text: "desk.note.group", Good: true}
	noteHours     = note{Text: "desk.note.hours", Good: true}
	noteRefused   = note{Text: "desk.note.refused"}
)

func (n note) with(detail string) note {
	n.Detail = detail
	return n
}

// option is a choice of a form.
type option struct {
	Value string
	Text  ui.Key
}

var (
	outcomes = []option{{"1", "desk.outcome.good"}, {"2", "desk.outcome.bad"}}
	reasons  = []option{{"01", "desk.reason.technical"}, {"02", "desk.reason.patient"}, {"03", "desk.reason.facility"}}
)

// act is what a practitioner does with an entry of the board.
type act struct {
	*Desk
	*turn
	client *source.Client
	entry  entry
	person person // whom the address named
}

// on finds the entry that a form is about, as it stands now, and does an act
// with it. What the exchange refuses is said on the page of the entry.
func (d *Desk) on(w http.ResponseWriter, r *http.Request, t *turn, do func(context.Context, act) (note, string, error)) error {
	b := d.board(t)
	e, p, ok, err := b.now(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	if !ok {
		return errNothing
	}
	n, next, err := do(r.Context(), act{d, t, b.org.Client, e, p})
	if err != nil {
		said, ok := refusal(err)
		if !ok {
			return err
		}
		n, next = noteRefused.with(said), e.Path()
	}
	if err := b.refresh(r.Context(), e.People); err != nil {
		b.touch() // the act is done; the board follows
	}
	return d.leave(w, r, t, next, n)
}

// start opens the room, tells the patients, and takes the practitioner there.
func (d *Desk) start(w http.ResponseWriter, r *http.Request, t *turn) error {
	return d.on(w, r, t, func(ctx context.Context, a act) (note, string, error) {
		session, err := a.client.Activate(ctx, a.entry.session())
		if err != nil {
			return note{}, "", err
		}
		n := a.tell(ctx, "start-"+a.entry.ID+"-"+fmt.Sprint(session.ActivatedAt.Unix()), noteStarted)
		return n, a.entry.Path() + "/call", nil
	})
}

// remind tells once more those who have not joined.
func (d *Desk) remind(w http.ResponseWriter, r *http.Request, t *turn) error {
	return d.on(w, r, t, func(ctx context.Context, a act) (note, string, error) {
		return a.tell(ctx, "remind-"+a.entry.ID+"-"+fmt.Sprint(t.now.Truncate(time.Minute).Unix()), noteReminded), a.entry.Path() + "/call", nil
	})
}

// The message is in two languages: the desk does not know which one a patient
// reads.
const (
	messageTitle = "Konsultasi maya bermula"
	messageBody  = "Anda kini boleh menyertai bilik mesyuarat. / You can now join the meeting room."
)

// tell sends one message to all who are expected in the room. The room is open
// whatever becomes of it.
func (a act) tell(ctx context.Context, key string, good note) note {
	var expected []person
	for _, p := range a.entry.People {
		if p.State == arriving || p.State == waiting || p.State == ready {
			expected = append(expected, p)
		}
	}
	told, err := a.notify(ctx, key, expected)
	if err != nil {
		a.Log.Warn("desk: patients could not be notified", "trace", a.trace, "error", err)
		return noteUntold
	}
	var missing []string
	for _, p := range expected {
		if !told[p.Patient] {
			missing = append(missing, p.Name)
		}
	}
	if len(missing) > 0 {
		return noteUntold.with(strings.Join(missing, ", "))
	}
	return good
}

// notify tells which of the people have the message in their inbox.
func (a act) notify(ctx context.Context, key string, people []person) (map[string]bool, error) {
	told := map[string]bool{}
	if len(people) == 0 {
		return told, nil
	}
	var ids []string
	for _, p := range people {
		ids = append(ids, p.Patient)
	}
	docs, err := a.client.SearchAll(ctx, "Patient", url.Values{"_id": {strings.Join(ids, ",")}, "_count": {"200"}})
	if err != nil {
		return nil, err
	}
	var numbers []string
	of := map[string]string{} // Patient by identity number
	for _, doc := range docs {
		if n := mycore.IdentityNumbers(doc); len(n) > 0 {
			numbers, of[n[0]] = append(numbers, n[0]), doc.ID()
		}
	}
	if len(numbers) == 0 {
		return told, nil
	}
	results, err := a.client.Notify(ctx, source.Notification{Title: messageTitle, Body: messageBody, PatientIDs: numbers, IdempotencyKey: key})
	for _, res := range results {
		told[of[res.PatientID]] = told[of[res.PatientID]] || res.Status == "delivered"
	}
	return told, err
}

// finish writes down how it went for each patient, and ends the session when
// nobody is left in it. Of a group, those who never came are missing.
func (d *Desk) finish(w http.ResponseWriter, r *http.Request, t *turn) error {
	return d.on(w, r, t, func(ctx context.Context, a act) (note, string, error) {
		for _, p := range a.entry.People {
			var err error
			switch {
			case p.InSession():
				err = a.finishOne(ctx, p, r.PostForm.Get("outcome-"+p.ID), r.PostForm.Get("reason-"+p.ID))
			case a.entry.IsGroup && p.State == arriving && p.Late(t.now):
				err = a.set(ctx, p, fhir.Set("status", "noshow"))
			}
			if err != nil {
				return note{}, "", err
			}
		}
		if _, err := a.client.End(ctx, a.entry.session()); err != nil {
			return note{}, "", err
		}
		return noteFinished, Root, nil
	})
}

// attempts to change a record that others change at the same time.
const attempts = 3

// finishOne finishes an Encounter. An outcome that the form did not choose is
// read from whether the patient came.
func (a act) finishOne(ctx context.Context, p person, outcome, reason string) error {
	switch {
	case !mycore.ValidCode(mycore.SystemEncounterOutcome, outcome) && p.Attended():
		outcome, reason = "1", ""
	case !mycore.ValidCode(mycore.SystemEncounterOutcome, outcome):
		outcome, reason = "2", "02"
	case outcome == "1" || !mycore.ValidCode(mycore.SystemOutcomeReason, reason):
		reason = ""
	}
	return a.change(ctx, "Encounter/"+p.Encounter, func(doc *fhir.Document) (*fhir.Document, error) {
		if doc.Get("status").Is("finished") {
			return nil, nil
		}
		return source.FinishEncounter(doc, source.FinishParams{
			At: a.Clock(), Outcome: outcome, Reason: reason, Practitioner: a.who.ID, PractitionerName: a.who.Name,
		})
	})
}

func (d *Desk) noShow(w http.ResponseWriter, r *http.Request, t *turn) error {
	return d.on(w, r, t, func(ctx context.Context, a act) (note, string, error) {
		return noteMissed, a.back(), a.set(ctx, a.person, fhir.Set("status", "noshow"))
	})
}

// byFacility is the reason for cancelling of MY Core that names the organizer.
const byFacility = "3"

func (d *Desk) cancelVisit(w http.ResponseWriter, r *http.Request, t *turn) error {
	return d.on(w, r, t, func(ctx context.Context, a act) (note, string, error) {
		display, _ := mycore.Display(mycore.SystemCancellationReason, byFacility)
		reason := map[string]any{"coding": []any{map[string]any{"system": mycore.SystemCancellationReason, "code": byFacility, "display": display}}}
		return noteCancelled, a.back(), a.set(ctx, a.person, fhir.Set("status", "cancelled"), fhir.Set("cancelationReason", reason))
	})
}

// back is where an act on one patient leads: to the roster of a group, else to
// the board.
func (a act) back() string {
	if a.entry.IsGroup {
		return a.entry.Path()
	}
	return Root
}

// set changes the Appointment of a person.
func (a act) set(ctx context.Context, p person, edits ...fhir.Edit) error {
	return a.change(ctx, "Appointment/"+p.ID, func(doc *fhir.Document) (*fhir.Document, error) { return doc.With(edits...) })
}

// change reads a record, changes it and writes it back; when somebody else was
// faster, it begins again. A nil record needs no writing.
func (a act) change(ctx context.Context, reference string, edit func(*fhir.Document) (*fhir.Document, error)) error {
	for try := 1; ; try++ {
		doc, err := a.client.Get(ctx, reference)
		if err != nil {
			return err
		}
		changed, err := edit(doc)
		if err != nil || changed == nil {
			return err
		}
		version, _ := doc.Get("meta.versionId").Int()
		_, err = a.client.PutIf(ctx, changed, version)
		var refused *source.Error
		if errors.As(err, &refused) && refused.Status == http.StatusPreconditionFailed && try < attempts {
			continue
		}
		return err
	}
}
