package consult

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

var update = flag.Bool("update", false, "write docs/consultation.md")

// order of the states in the documents.
var order = []State{Booked, Waiting, Ready, InCall, Finished, Cancelled, NoShow, Abandoned}

// by says who or what makes a move.
var by = map[Move]string{
	moveCheckIn:  "the patient checks in on RekodSaya",
	moveActivate: "the source system activates the session; a patient of a group that is in session already is ready at once",
	moveJoin:     "the patient joins the call",
	moveStart:    "the source system PUTs the Encounter as in-progress",
	moveFinish:   "the source system PUTs the Encounter as finished, or the Appointment as fulfilled",
	moveCancel:   "the source system PUTs the Appointment as cancelled, or the patient cancels",
	moveMiss:     "the window passes without a check-in, or the source system PUTs the Appointment as noshow",
	moveGiveUp:   "the window and a grace time pass and nobody has started the session",
}

func dash(s string) string { return cmp.Or(s, "–") }

// page is docs/consultation.md.
func page() string {
	var b strings.Builder
	b.WriteString(`# The states of a consultation

Made from the table of moves in ` + "`internal/consult/moves.go`" + `; a test compares them. A move that is not here is refused with the reason, and nothing is written. Hanging up is no move: a consultation ends when somebody says so.

| state | Appointment.status | Encounter.status | goes on to |
|---|---|---|---|
`)
	for _, s := range order {
		var next []string
		for _, m := range slices.Sorted(maps.Keys(moves[s])) {
			next = append(next, fmt.Sprintf("%s (%s)", moves[s][m], m))
		}
		shown := statuses[s]
		appointment := dash(shown.appointment)
		if s == Abandoned {
			appointment = "as it was"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", s, appointment, dash(shown.encounter), dash(strings.Join(next, ", ")))
	}
	b.WriteString("\n| move | made when |\n|---|---|\n")
	for _, m := range slices.Sorted(maps.Keys(by)) {
		fmt.Fprintf(&b, "| %s | %s |\n", m, by[m])
	}
	return b.String()
}

func TestChartOfTheDocuments(t *testing.T) {
	const path = "../../docs/consultation.md"
	if *update {
		if err := os.WriteFile(path, []byte(page()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != page() {
		t.Errorf("%s is not what the moves say: run go test ./internal/consult -update (%v)", path, err)
	}
}

func TestEveryMoveIsInTheTableOrRefused(t *testing.T) {
	at := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	for _, from := range order {
		for m := range by {
			c := store.Consultation{State: string(from)}
			err := next(&c, m, at)
			to, possible := moves[from][m]
			switch {
			case possible && (err != nil || State(c.State) != to):
				t.Errorf("%s, %s: %s, %v; want %s", from, m, c.State, err, to)
			case !possible && (fhir.CodeOf(err) != fhir.CodeBusinessRule || State(c.State) != from):
				t.Errorf("%s, %s: %s, %v; want a refusal", from, m, c.State, err)
			case !possible && !strings.Contains(err.Error(), phrases[from]):
				t.Errorf("%s, %s: the refusal %q does not say how things stand", from, m, err)
			}
		}
	}
}

func TestStatesAreWhole(t *testing.T) {
	if len(phrases) != len(order) || len(statuses) != len(order) {
		t.Errorf("%d states, %d phrases, %d statuses", len(order), len(phrases), len(statuses))
	}
	reached := map[State]bool{Booked: true}
	for range order {
		for from, list := range moves {
			for _, to := range list {
				reached[to] = reached[to] || reached[from]
			}
		}
	}
	for _, s := range order {
		if !reached[s] {
			t.Errorf("%s is never reached", s)
		}
		if s.closed() != slices.Contains([]State{Finished, Cancelled, NoShow, Abandoned}, s) {
			t.Errorf("%s: closed is %v", s, s.closed())
		}
	}
	known := map[Move]bool{}
	for _, list := range moves {
		for m := range list {
			known[m] = true
		}
	}
	for m := range known {
		if by[m] == "" {
			t.Errorf("nobody makes the move %q", m)
		}
	}
}
