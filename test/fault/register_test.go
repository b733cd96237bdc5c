package fault

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/google/uuid"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/mycore"
	"github.com/jumpa-hie/jumpa/source"
)

// register is a record that many read and change at the same time, each change
// on the condition of the version that was read (If-Match). What they see must
// be what one client after another could have seen.
type register struct {
	ref  string
	doc  *fhir.Document // as it was made
	ops  []porcupine.Operation
	last int64 // version that was seen last, by anybody
}

// asked is an operation on a register: a read, or a change of a version.
type asked struct {
	write   bool
	version int64 // that If-Match names
	value   string
}

// held is what a register holds, or held.
type held struct {
	version int64
	value   string
}

// outcome is how an operation ended.
type outcome struct {
	held
	refused bool // the version was another one
	unknown bool // there was no answer
}

// model is a register as one client after another would see it.
var model = porcupine.Model{
	Init: func() any { return held{1, "first"} },
	Step: func(state, input, output any) (bool, any) {
		is, in, out := state.(held), input.(asked), output.(outcome)
		switch {
		case !in.write:
			return out.held == is, is
		case out.refused:
			return in.version != is.version, is
		default:
			next := held{is.version + 1, in.value}
			return in.version == is.version && out.held == next, next
		}
	},
	DescribeOperation: func(input, output any) string {
		in, out := input.(asked), output.(outcome)
		if !in.write {
			return fmt.Sprintf("read: %d %s", out.version, out.value)
		}
		return fmt.Sprintf("if %d write %s: %d, refused %v", in.version, in.value, out.version, out.refused)
	},
}

// blunt sends each request once, unlike the SDK: a register must know how each
// of them ended.
type blunt struct {
	server, id, secret string
	http               *http.Client

	mu    sync.Mutex
	token string
}

func (b *blunt) do(ctx context.Context, method, path, match string, body []byte) (status int, answer []byte, err error) {
	b.mu.Lock()
	token := b.token
	b.mu.Unlock()
	if token == "" {
		if token, err = b.signIn(ctx); err != nil {
			return 0, nil, err
		}
	}
	header := http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/fhir+json"}, "Prefer": {"return=representation"}}
	if match != "" {
		header.Set("If-Match", match)
	}
	return b.send(ctx, method, path, header, body)
}

func (b *blunt) send(ctx context.Context, method, path string, header http.Header, body []byte) (status int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, b.server+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header = header
	resp, err := b.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

func (b *blunt) signIn(ctx context.Context) (string, error) {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {b.id}, "client_secret": {b.secret}}
	status, answer, err := b.send(ctx, http.MethodPost, "/auth/token", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, []byte(form.Encode()))
	var got struct {
		AccessToken string `json:"access_token"`
	}
	if err == nil && (status != http.StatusOK || json.Unmarshal(answer, &got) != nil) {
		err = fmt.Errorf("no token: %d", status)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.token = got.AccessToken
	return got.AccessToken, err
}

// newRegister makes a register.
func (l *load) newRegister(ctx context.Context) *register {
	start, end := l.times()
	doc := must(source.NewSchedule(source.ScheduleParams{
		ID: uuid.NewString(), ServiceType: mycore.ServiceIndividual, Specialty: l.specialty[mycore.ServiceIndividual],
		HealthcareService: l.services[mycore.ServiceIndividual], HealthcareServiceName: "Demo", Start: start, End: end, ScheduleType: "internal",
	}))
	doc = must(doc.With(fhir.Set("comment", "first")))
	if _, ok := l.put(ctx, "register", doc); !ok {
		l.t.Fatal("the first record was not written")
	}
	r := &register{ref: "Schedule/" + doc.ID(), doc: doc, last: 1}
	l.with(func() { l.registers = append(l.registers, r) })
	return r
}

// touch reads the register or changes it.
func (l *load) touch(ctx context.Context, rnd *rand.Rand, who int, r *register) {
	var in asked
	method, match, body := http.MethodGet, "", []byte(nil)
	if rnd.IntN(2) == 0 {
		l.with(func() { in = asked{write: true, version: r.last, value: uuid.NewString()} })
		method, match = http.MethodPut, `W/"`+strconv.FormatInt(in.version, 10)+`"`
		body = must(r.doc.With(fhir.Set("comment", in.value))).Bytes()
	}
	called := time.Since(l.began)
	status, answer, err := l.blunt.do(ctx, method, "/baseR4/"+r.ref, match, body)
	returned := time.Since(l.began)
	var out outcome
	doc, broken := fhir.Parse(answer)
	switch {
	case err != nil, unanswered(status):
		out.unknown = true
		returned = math.MaxInt64
	case status == http.StatusPreconditionFailed && in.write:
		out.refused = true
	case status == http.StatusOK && broken == nil:
		out.held = heldBy(doc)
	default:
		l.t.Errorf("%s of %s was answered with %d: %s", method, r.ref, status, answer)
		return
	}
	l.with(func() {
		r.last = max(r.last, out.version)
		r.ops = append(r.ops, porcupine.Operation{ClientId: who, Input: in, Call: int64(called), Output: out, Return: int64(returned)})
		switch {
		case out.unknown:
			l.unknown["register"]++
		case in.write && !out.refused:
			l.writes = append(l.writes, write{ref: r.ref, version: out.version})
		case !in.write:
			l.reads[r.ref]++
		}
	})
}

func heldBy(doc *fhir.Document) held {
	version, _ := doc.Get("meta.versionId").Int()
	return held{version, doc.Get("comment").String()}
}

// checkRegisters compares what everybody has seen with what one client after
// another could have seen.
func (a *audit) checkRegisters(ctx context.Context) (operations int) {
	for _, r := range a.registers {
		past := map[string]int64{} // version by value
		for n := int64(1); ; n++ {
			doc, err := a.sys.Get(ctx, fmt.Sprintf("%s/_history/%d", r.ref, n))
			if isStatus(err, http.StatusNotFound) {
				break
			}
			if err != nil {
				a.miss("version %d of %s: %v", n, r.ref, err)
				break
			}
			past[heldBy(doc).value] = n
		}
		ops := settled(r.ops, past)
		operations += len(ops)
		if result := porcupine.CheckOperationsTimeout(model, ops, patience); result != porcupine.Ok {
			var text strings.Builder
			for _, op := range ops {
				fmt.Fprintf(&text, "\n%v–%v %s", time.Duration(op.Call), time.Duration(op.Return), model.DescribeOperation(op.Input, op.Output))
			}
			a.t.Errorf("the history of %s is not linearizable (%s):%s", r.ref, result, text.String())
		}
		if n := len(a.trail(ctx, r.ref, "read")); n < a.reads[r.ref] {
			a.miss("%d reads of %s were answered, and %d are in the audit trail", a.reads[r.ref], r.ref, n)
		}
	}
	return operations
}

// settled replaces the operations whose end nobody knew by what has become of
// them: the history of the record tells. Those that had no effect are left out.
func settled(ops []porcupine.Operation, past map[string]int64) (out []porcupine.Operation) {
	for _, op := range ops {
		in := op.Input.(asked)
		if op.Output.(outcome).unknown {
			version, happened := past[in.value]
			if !happened || !in.write {
				continue
			}
			op.Output = outcome{held: held{version, in.value}}
		}
		out = append(out, op)
	}
	return out
}

// TestModelRefusesWhatCannotBe sees that the check can fail.
func TestModelRefusesWhatCannotBe(t *testing.T) {
	read := func(call, back, version int64, value string) porcupine.Operation {
		return porcupine.Operation{Input: asked{}, Call: call, Output: outcome{held: held{version, value}}, Return: back}
	}
	write := func(call, back, version int64, value string, out outcome) porcupine.Operation {
		return porcupine.Operation{Input: asked{true, version, value}, Call: call, Output: out, Return: back}
	}
	done := func(version int64, value string) outcome { return outcome{held: held{version, value}} }
	for _, c := range []struct {
		name string
		ops  []porcupine.Operation
		past map[string]int64
		ok   bool
	}{
		{"one after another", []porcupine.Operation{write(0, 1, 1, "a", done(2, "a")), read(2, 3, 2, "a")}, nil, true},
		{"a read of the past", []porcupine.Operation{write(0, 1, 1, "a", done(2, "a")), read(2, 3, 1, "first")}, nil, false},
		{"a read at the same time", []porcupine.Operation{write(0, 5, 1, "a", done(2, "a")), read(2, 3, 1, "first")}, nil, true},
		{"two changes of one version", []porcupine.Operation{write(0, 1, 1, "a", done(2, "a")), write(0, 1, 1, "b", done(2, "b"))}, nil, false},
		{"refused without a reason", []porcupine.Operation{write(0, 1, 1, "a", outcome{refused: true})}, nil, false},
		{"no answer, and it happened late", []porcupine.Operation{write(0, math.MaxInt64, 1, "a", outcome{unknown: true}), read(2, 3, 1, "first"), read(4, 5, 2, "a")}, map[string]int64{"a": 2}, true},
		{"no answer, and it happened and was undone", []porcupine.Operation{write(0, math.MaxInt64, 1, "a", outcome{unknown: true}), read(2, 3, 2, "a"), read(4, 5, 1, "first")}, map[string]int64{"a": 2}, false},
		{"no answer, and it never happened", []porcupine.Operation{write(0, math.MaxInt64, 1, "a", outcome{unknown: true}), read(4, 5, 1, "first")}, nil, true},
	} {
		if got := porcupine.CheckOperations(model, settled(c.ops, c.past)); got != c.ok {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
