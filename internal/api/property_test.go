package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/fhirxml"
	"github.com/jumpa-hie/jumpa/fhir/r4/r4test"
)

// Any document that is kept comes back as it was: byte for byte outside of id
// and meta, and with the same meaning by way of XML, in both directions. The
// documents are random ones of every type, through the whole interface and a
// real database.
func TestAnyDocumentComesBack(t *testing.T) {
	s := newServer(t)
	kept, refused, inXML := 0, 0, 0
	for i, typ := range r4test.Resources() {
		for seed := range uint64(3) {
			made := r4test.NewSound(seed, uint64(i)).Resource(typ, 4)
			delete(made, "meta") // of which some is the exchange's own
			made["id"] = "a1"
			var sent bytes.Buffer
			if err := json.Indent(&sent, fhir.Marshal(made), " ", "\t"); err != nil {
				t.Fatal(err)
			}
			w := s.do(hospital, "PUT", Root+"/"+typ+"/a1", sent.String(), map[string]string{"Prefer": "return=minimal"})
			if w.Code >= 500 {
				t.Fatalf("%s: %d %s\n%s", typ, w.Code, w.Body, sent.Bytes())
			}
			if w.Code >= 400 {
				refused++
				continue
			}
			kept++
			doc, err := fhir.Parse(sent.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			back := s.do(hospital, "GET", Root+"/"+typ+"/a1", "", nil).Body.Bytes()
			sameMembers(t, doc, back)
			if s.throughXML(t, doc, back) {
				inXML++
			}
		}
	}
	t.Logf("%d documents kept, %d of them in XML too, %d refused", kept, inXML, refused)
	if kept < 300 || inXML < kept/2 {
		t.Errorf("only %d documents were kept, %d in XML, %d refused", kept, inXML, refused)
	}
}

// sameMembers demands that all members but id and meta have the same bytes, in
// the same order.
func sameMembers(t *testing.T, sent *fhir.Document, back []byte) {
	t.Helper()
	got, err := fhir.Parse(back)
	if err != nil {
		t.Fatalf("%v: %s", err, back)
	}
	members := func(d *fhir.Document) (list []string) {
		for n := range d.Root().Children() {
			if n.Name() != "id" && n.Name() != "meta" {
				list = append(list, n.Name()+string(n.Raw()))
			}
		}
		return list
	}
	if want, have := members(sent), members(got); !reflect.DeepEqual(want, have) {
		t.Fatalf("%s comes back as\n%s", sent.Bytes(), back)
	}
}

// throughXML reads what is kept as XML, sends that as another record, and
// reads this as JSON; false when the document has no form in XML.
func (s *server) throughXML(t *testing.T, doc *fhir.Document, back []byte) bool {
	t.Helper()
	at := Root + "/" + doc.Type()
	w := s.do(hospital, "GET", at+"/a1", "", map[string]string{"Accept": mediaXML})
	if w.Code == http.StatusUnprocessableEntity || w.Code == http.StatusNotAcceptable {
		return false
	}
	if w.Code != 200 {
		t.Fatalf("%s as XML: %d %s", doc.Type(), w.Code, w.Body)
	}
	read, err := fhirxml.Decode(w.Body.Bytes(), fhir.DefaultLimits)
	if err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	if !reflect.DeepEqual(meaning(t, read.Bytes()), meaning(t, back)) {
		t.Fatalf("%s\nread as XML is\n%s", back, read.Bytes())
	}
	other := strings.Replace(w.Body.String(), `<id value="a1"/>`, `<id value="b1"/>`, 1)
	if w := s.do(hospital, "PUT", at+"/b1", other, map[string]string{"Content-Type": mediaXML, "Prefer": "return=minimal"}); w.Code >= 400 {
		t.Fatalf("%s: its XML is refused: %d %s\n%s", doc.Type(), w.Code, w.Body, other)
	}
	again := s.do(hospital, "GET", at+"/b1", "", nil).Body.Bytes()
	if !reflect.DeepEqual(meaning(t, again), meaning(t, back)) {
		t.Fatalf("%s\nsent as XML is\n%s", back, again)
	}
	return true
}

// meaning is a document without id and meta, with numbers by their digits.
func meaning(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var o map[string]any
	if err := d.Decode(&o); err != nil {
		t.Fatal(err)
	}
	delete(o, "id")
	delete(o, "meta")
	return o
}
