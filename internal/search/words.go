package search

import (
	"html"
	"slices"
	"strings"
	"sync"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/r4"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// Parameters that look for words: _text in the narrative, _content in all
// texts of a document.
const (
	inNarrative = "_text"
	inContent   = "_content"
)

const (
	maxWord     = 60   // bytes of a word that can be found
	maxDistinct = 1000 // words of one document that can be found
)

// words reads words that must all be there, in any order; OR stands between
// groups of which one must be there. Quotation marks and other punctuation
// count as spaces.
func (p Param) words(value string) ([]store.Condition, error) {
	var any []store.Condition
	for group := range strings.SplitSeq(unescape(value), " OR ") {
		var all []store.Condition
		for word := range strings.FieldsSeq(fold(shorten(group))) {
			all = append(all, is(p.Code, store.String, store.Equal, word)...)
		}
		switch len(all) {
		case 0:
			return nil, fhir.Errorf(fhir.CodeInvalid, "", "%s needs words to look for.", p.Code)
		case 1:
			any = append(any, all[0])
		default:
			any = append(any, store.Condition{All: all})
		}
	}
	return any, nil
}

// texts indexes the words of the narrative and of all other texts.
func (ix *indexer) texts(doc *fhir.Document) {
	narrative := doc.Root().Get("text").Get("div").String()
	var content []string
	if narrative != "" {
		plain := withoutTags(narrative)
		ix.wordsOf(inNarrative, plain)
		content = append(content, plain)
	}
	if t := textsOf(doc.Type()); t != nil {
		t.walk(doc.Root(), func(n fhir.Node) { content = append(content, n.String()) })
	}
	ix.wordsOf(inContent, content...)
}

func (ix *indexer) wordsOf(param string, texts ...string) {
	seen := make(map[string]bool)
	for _, text := range texts {
		for word := range strings.FieldsSeq(fold(text)) {
			if len(seen) >= maxDistinct {
				return
			}
			if len(word) <= maxWord && !seen[word] {
				seen[word] = true
				ix.add(store.Entry{Param: param, Kind: store.String, Value: word})
			}
		}
	}
}

// withoutTags gives the text of XHTML.
func withoutTags(xhtml string) string {
	var b strings.Builder
	for {
		before, rest, tag := strings.Cut(xhtml, "<")
		b.WriteString(before)
		if !tag {
			return html.UnescapeString(b.String())
		}
		b.WriteByte(' ')
		_, xhtml, _ = strings.Cut(rest, ">")
	}
}

// wording is where the texts of an element stand: string and markdown, not
// codes, displays or identifiers.
type wording struct {
	text  bool
	below map[string]*wording
}

// textsOf gives where a type has texts; nil when it has none.
var textsOf = func() func(string) *wording {
	var known sync.Map
	return func(typ string) *wording {
		if w, ok := known.Load(typ); ok {
			return w.(*wording)
		}
		var w *wording
		if t, known := r4.LookupType(typ); known {
			w = wordingOf(t.Root, map[*r4.Element]*wording{})
		}
		known.Store(typ, w)
		return w
	}
}()

// wordless are types whose strings are no text to look for words in.
var wordless = []string{"Coding", "Identifier", "Reference", "Meta", "ContactPoint", "Narrative", "Signature", "Expression", "Resource"}

func wordingOf(e *r4.Element, seen map[*r4.Element]*wording) *wording {
	if w, ok := seen[e]; ok {
		return w
	}
	w := &wording{below: map[string]*wording{}}
	seen[e] = w
	for _, c := range e.Children {
		types := c.Types
		if c.Repeats() != nil {
			types = []r4.TypeRef{{}}
		}
		if c.Attribute || c.Name == "id" || c.Name == "contained" || c.Name == "modifierExtension" {
			continue
		}
		for _, t := range types {
			name := c.Name
			if c.Choice {
				name += strings.ToUpper(t.Code[:1]) + t.Code[1:]
			}
			if t.Code == "string" || t.Code == "markdown" {
				w.below[name] = &wording{text: true}
			} else if inside := c.Content(t.Code); inside != nil && !r4.IsPrimitive(t.Code) && !slices.Contains(wordless, t.Code) {
				w.below[name] = wordingOf(inside, seen)
			}
		}
	}
	return w
}

func (w *wording) walk(n fhir.Node, yield func(fhir.Node)) {
	if w.text {
		for item := range n.Items() {
			yield(item)
		}
		return
	}
	for item := range n.Items() {
		for c := range item.Children() {
			if inside := w.below[c.Name()]; inside != nil {
				inside.walk(c, yield)
			}
		}
	}
}
