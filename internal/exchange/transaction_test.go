package exchange_test

import (
	"context"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
)

// What a transaction asks for has an end, and sees what was written; when it
// fails, nothing is left.
func TestTransactionAsks(t *testing.T) {
	w := newWorld(t)
	doc, err := fhir.Parse([]byte(`{"resourceType":"Bundle","type":"transaction","entry":[
		{"request":{"method":"GET","url":"Basic/b1"}},
		{"resource":{"resourceType":"Basic","id":"b1","code":{"text":"x"}},"request":{"method":"PUT","url":"Basic/b1"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	read := func(ctx context.Context, at int) error {
		asked++
		if _, bounded := ctx.Deadline(); at != 0 || !bounded {
			t.Errorf("entry %d is asked without an end", at)
		}
		_, err := w.exchange.Read(ctx, hospitalSystem, "Basic", "b1")
		return err
	}
	fail := func(context.Context, int) error { return fhir.Errorf(fhir.CodeNotFound, "", "Nothing.") }
	if _, err := w.exchange.Transaction(w.ctx, hospitalSystem, doc, fail); fhir.CodeOf(err) != fhir.CodeNotFound {
		t.Errorf("%v", err)
	}
	if _, err := w.exchange.Read(w.ctx, auth.Exchange, "Basic", "b1"); fhir.CodeOf(err) != fhir.CodeNotFound {
		t.Errorf("it was kept: %v", err)
	}
	out, err := w.exchange.Transaction(w.ctx, hospitalSystem, doc, read)
	if err != nil || asked != 1 || !out.Entries[1].Created || out.Entries[0].Resource.ID != "" {
		t.Errorf("%+v %v", out, err)
	}
}
