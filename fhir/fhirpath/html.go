package fhirpath

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
)

// What the narrative of a resource may hold: the elements of HTML 4.0 in
// chapters 7 to 11 (but section 4 of chapter 9) and 15, <a> and <img>, without
// forms, scripts and styles of a head.
var (
	htmlElements = words(`div p br b i u em strong small big tt s strike sub sup span pre q blockquote cite code dfn kbd samp var abbr
		acronym address bdo center font hr ins del h1 h2 h3 h4 h5 h6 ul ol li dl dt dd a img table caption col colgroup thead tbody tfoot tr th td map area`)
	htmlAttributes = words(`abbr accesskey align alt axis bgcolor border cellhalign cellpadding cellspacing cellvalign char charoff
		charset cite class clear color colspan compact coords datetime dir face frame headers height href hreflang hspace id lang
		longdesc name nowrap noshade rel rev rowspan rules scope shape size span src start style summary tabindex title type
		usemap valign value vspace width xmlns xml:lang xml:space halign ismap`)
)

func words(s string) map[string]bool {
	set := map[string]bool{}
	for w := range strings.FieldsSeq(s) {
		set[w] = true
	}
	return set
}

// htmlChecks judges a narrative as txt-1 and txt-2 ask.
func (m *machine) htmlChecks(_ *expr, _ env, in Collection) Collection {
	for i := range in {
		v, ok := m.system(&in[i])
		if !ok && in[i].node.Kind() != fhir.Object {
			continue // no value: ele-1 judges it
		}
		if !ok || v.kind != kString || !m.step(len(v.text)/16) || !narrative(v.text) {
			return no
		}
	}
	return yes
}

// narrative tells whether s is one <div> of XHTML with allowed elements and
// attributes only, and with something to read or see in it.
func narrative(s string) bool {
	d := xml.NewDecoder(strings.NewReader(s))
	d.Entity = xml.HTMLEntity
	depth, seen, closed := 0, false, false
	for {
		t, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			return closed && seen && balanced(s)
		}
		if err != nil {
			return false
		}
		switch t := t.(type) {
		case xml.StartElement:
			name := t.Name.Local
			if closed || t.Name.Space != "" || depth == 0 && name != "div" || !htmlElements[name] {
				return false
			}
			depth++
			seen = seen || name == "img"
			for _, a := range t.Attr {
				if !allowedAttribute(a) {
					return false
				}
			}
		case xml.EndElement:
			if depth--; depth == 0 {
				closed = true
			}
		case xml.CharData:
			if strings.TrimSpace(string(t)) == "" {
				continue
			}
			if depth == 0 {
				return false
			}
			seen = true
		case xml.Directive, xml.ProcInst:
			return false
		}
	}
}

func allowedAttribute(a xml.Attr) bool {
	name := a.Name.Local
	if a.Name.Space != "" {
		name = a.Name.Space + ":" + name
	}
	if !htmlAttributes[name] && a.Name.Space != "xmlns" {
		return false
	}
	if name == "href" || name == "src" {
		scheme, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(a.Value)), ":")
		return scheme != "javascript" && scheme != "vbscript"
	}
	return name != "xmlns" || a.Value == "http://www.w3.org/1999/xhtml"
}

// balanced tells whether every element is closed by its own end.
func balanced(s string) bool {
	d := xml.NewDecoder(strings.NewReader(s))
	d.Entity = xml.HTMLEntity
	for {
		if _, err := d.Token(); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}
