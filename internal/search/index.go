package search

import (
	"cmp"
	"slices"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

const (
	maxEntries = 5000 // of one document: only a hostile one has more
	maxValue   = 1024 // bytes of a token, reference or address; a longer one cannot be found
	maxText    = 200  // characters of a text
	maxWords   = 12   // words of a name by which it can be found
)

// Suffixes of the parameters that hold a further view of the same elements.
const (
	byIdentifier = ":identifier" // Reference.identifier, as a token
	asWritten    = ":exact"      // a text with its case and accents
	bySystem     = ":system"     // the systems of tokens alone
	byText       = ":text"       // the words that go with a token
	ofType       = ":of-type"    // identifiers with their type
	byVersion    = ":version"    // references to one version
	byWord       = ":word"       // a name from its second and each further word on
)

// Index gives the entries under which the document can be found, in order and
// without duplicates. Absolute references below one of the bases count as
// references to this exchange; others are kept as they are. Values that cannot
// be read, such as a date that is none, have no entry.
func Index(doc *fhir.Document, bases ...string) []store.Entry {
	ix := indexer{bases: bases, entries: make([]store.Entry, 0, 48)}
	all := params()[doc.Type()]
	for i := range all {
		p := &all[i]
		if p.compute != nil {
			for _, code := range p.compute(doc.Root()) {
				ix.addToken(p.Code, code, "")
			}
		}
		add := indexers[p.Kind]
		if add == nil {
			continue // the words
		}
		for _, path := range p.paths {
			path.walk(doc.Root(), func(n fhir.Node) { add(&ix, p, n) })
		}
	}
	ix.texts(doc)
	ix.compartments(doc)
	slices.SortFunc(ix.entries, compare)
	return slices.Compact(ix.entries)
}

// Diff gives what is in new and not in old, and the other way round. Both must
// be in the order in which Index gives them.
func Diff(old, new []store.Entry) (add, remove []store.Entry) {
	for len(old) > 0 && len(new) > 0 {
		switch c := compare(old[0], new[0]); {
		case c == 0:
			old, new = old[1:], new[1:]
		case c < 0:
			remove, old = append(remove, old[0]), old[1:]
		default:
			add, new = append(add, new[0]), new[1:]
		}
	}
	return append(add, new...), append(remove, old...)
}

func compare(a, b store.Entry) int {
	return cmp.Or(
		cmp.Compare(a.Param, b.Param), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Value, b.Value),
		cmp.Compare(a.Low, b.Low), cmp.Compare(a.High, b.High),
	)
}

type indexer struct {
	bases   []string
	entries []store.Entry
}

var indexers = map[Kind]func(*indexer, *Param, fhir.Node){
	Token:     (*indexer).token,
	Code:      (*indexer).code,
	Reference: (*indexer).reference,
	String:    (*indexer).text,
	Name:      (*indexer).name,
	Date:      (*indexer).date,
	Number:    (*indexer).number,
	URI:       (*indexer).uri,
	Canonical: (*indexer).uri,
	Quantity:  (*indexer).quantity,
	Place:     (*indexer).place,
}

func init() { indexers[Composite] = (*indexer).composite } // which uses the others

func (ix *indexer) add(e store.Entry) {
	if len(ix.entries) < maxEntries && len(e.Value) <= maxValue {
		ix.entries = append(ix.entries, e)
	}
}

func (ix *indexer) addToken(param, code, system string) {
	if code == "" && system == "" {
		return
	}
	ix.add(store.Entry{Param: param, Kind: store.Token, Value: TokenValue(code, system)})
	if system != "" {
		ix.add(store.Entry{Param: param + bySystem, Kind: store.Token, Value: TokenValue("", system)})
	}
}

func (ix *indexer) token(p *Param, n fhir.Node) { ix.tokenAs(p.Code, n) }

// tokenAs goes by the shape of the value: CodeableConcept, Coding, Identifier,
// ContactPoint, or a primitive.
func (ix *indexer) tokenAs(param string, n fhir.Node) {
	if n.Kind() != fhir.Object {
		ix.addToken(param, n.String(), "")
		return
	}
	ix.says(param, n.Get("text"))
	if n.Get("coding").Exists() {
		for coding := range n.Get("coding").Items() {
			ix.addToken(param, coding.Get("code").String(), coding.Get("system").String())
			ix.says(param, coding.Get("display"))
		}
		return
	}
	ix.says(param, n.Get("display"))
	if typ := n.Get("type"); typ.Kind() == fhir.Object { // of an Identifier
		ix.says(param, typ.Get("text"))
		for coding := range typ.Get("coding").Items() {
			if v := typeAndValue(coding.Get("code").String(), n.Get("value").String()); v != "" {
				ix.add(store.Entry{Param: param + ofType, Kind: store.Token, Value: TokenValue(v, coding.Get("system").String())})
			}
		}
	}
	value := n.Get("code")
	if !value.Exists() {
		value = n.Get("value")
	}
	ix.addToken(param, value.String(), n.Get("system").String())
}

// says keeps words that go with a token.
func (ix *indexer) says(param string, n fhir.Node) {
	if folded := fold(shorten(n.String())); folded != "" {
		ix.add(store.Entry{Param: param + byText, Kind: store.String, Value: folded})
	}
}

// typeAndValue joins the code of an identifier's type and its value; it is ""
// when one is.
func typeAndValue(code, value string) string {
	if code == "" || value == "" {
		return ""
	}
	return escaper.Replace(code) + "|" + value
}

func (ix *indexer) code(p *Param, n fhir.Node) { ix.addToken(p.Code, n.String(), "") }

func (ix *indexer) uri(p *Param, n fhir.Node) {
	if address := n.String(); address != "" {
		url, version, _ := strings.Cut(address, "|")
		ix.add(store.Entry{Param: p.Code, Kind: store.Token, Value: TokenValue(url, version)})
	}
}

func (ix *indexer) reference(p *Param, n fhir.Node) {
	text := n.String() // a canonical
	if n.Kind() == fhir.Object {
		text = n.Get("reference").String()
	}
	typ := n.Get("type").String()
	if value, to, version := literal(text, ix.bases); value != "" {
		if to != "" && !p.leadsTo(to) {
			return
		}
		ix.add(store.Entry{Param: p.Code, Kind: store.Reference, Value: value})
		if version != "" {
			ix.add(store.Entry{Param: p.Code + byVersion, Kind: store.Token, Value: value + "|" + version})
		}
	} else if typ != "" && !p.leadsTo(typ) {
		return
	}
	if id := n.Get("identifier"); id.Kind() == fhir.Object {
		ix.tokenAs(p.Code+byIdentifier, id)
	}
}
