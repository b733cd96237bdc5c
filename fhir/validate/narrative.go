package validate

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
)

func words(s string) map[string]bool {
	set := map[string]bool{}
	for w := range strings.FieldsSeq(s) {
		set[w] = true
	}
	return set
}

// What narrative may hold: the formatting of HTML 4.0, chapters 7 to 11 and 15,
// links and images.
var (
	htmlElements = words(`div p br b i u em strong small big tt s strike sub sup span pre q blockquote cite code dfn kbd samp var
		abbr acronym address bdo center font hr ins del h1 h2 h3 h4 h5 h6 ul ol li dl dt dd a img table caption col colgroup
		thead tbody tfoot tr th td map area`)
	htmlAttributes = words(`abbr accesskey align alt axis bgcolor border cellhalign cellpadding cellspacing cellvalign char
		charoff charset cite class clear color colspan compact coords datetime dir face frame headers height href hreflang
		hspace id lang longdesc name nowrap noshade rel rev rowspan rules scope shape size span src start style summary
		tabindex title type usemap valign value vspace width xmlns xml:lang xml:space halign ismap`)
	addresses = words("href src cite longdesc usemap")
)

const xhtml = "http://www.w3.org/1999/xhtml"

// narrative tells what is wrong with a div and the key of the rule, "" when
// nothing is.
func narrative(s string) (key, why string) {
	d := xml.NewDecoder(strings.NewReader(s))
	d.Entity = xml.HTMLEntity
	var open []string
	seen, closed := false, false
	for {
		t, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "txt-1", "is not well-formed XHTML; write & < > as entities and close every element"
		}
		switch t := t.(type) {
		case xml.StartElement:
			name := t.Name.Local
			switch {
			case closed || len(open) == 0 && name != "div":
				return "txt-1", "must be one div and nothing beside it"
			case t.Name.Space != "" || !htmlElements[name]:
				return "txt-1", "holds an element that is not allowed there; allowed is formatting, without scripts, forms and frames"
			case len(open) >= 64:
				return "txt-1", "is nested too deeply"
			}
			if len(open) == 0 && !hasNamespace(t.Attr) {
				return "txt-1", `needs a div with xmlns="` + xhtml + `"`
			}
			for _, a := range t.Attr {
				if why := badAttribute(a); why != "" {
					return "txt-1", why
				}
			}
			open = append(open, name)
			seen = seen || name == "img"
		case xml.EndElement:
			if len(open) == 0 || open[len(open)-1] != t.Name.Local || t.Name.Space != "" {
				return "txt-1", "is not well-formed XHTML: an element is closed that is not open"
			}
			open = open[:len(open)-1]
			closed = len(open) == 0
		case xml.CharData:
			if strings.TrimSpace(string(t)) == "" {
				continue
			}
			if len(open) == 0 {
				return "txt-1", "must be one div and nothing beside it"
			}
			seen = true
		case xml.Directive, xml.ProcInst:
			return "txt-1", "holds a document type, an entity or a processing instruction; none is allowed"
		}
	}
	switch {
	case !closed:
		return "txt-1", "is not one div that is closed"
	case !seen:
		return "txt-2", "has nothing to read in it"
	}
	return "", ""
}

func hasNamespace(list []xml.Attr) bool {
	for _, a := range list {
		if a.Name.Space == "" && a.Name.Local == "xmlns" {
			return a.Value == xhtml
		}
	}
	return false
}

func badAttribute(a xml.Attr) string {
	name := a.Name.Local
	if a.Name.Space != "" {
		name = a.Name.Space + ":" + name
	}
	switch {
	case strings.HasPrefix(strings.ToLower(name), "on"):
		return "holds an event handler; none is allowed"
	case name == "xmlns" && a.Value != xhtml:
		return "leaves the namespace " + xhtml
	case !htmlAttributes[name] && a.Name.Space != "xmlns":
		return "holds an attribute that is not allowed there"
	case addresses[name] && !safeAddress(name, a.Value):
		return "holds a link that runs a script or is of a kind that is not allowed"
	case name == "style" && unsafeStyle(a.Value):
		return "holds a style that loads or runs something"
	}
	return ""
}

// safeAddress lets pass what leads somewhere, and images within the document.
func safeAddress(name, s string) bool {
	scheme, rest, ok := strings.Cut(plainText(s), ":")
	if !ok || strings.ContainsAny(scheme, "/?#") {
		return true
	}
	switch scheme {
	case "http", "https", "mailto", "tel", "urn", "cid":
		return true
	case "data":
		return name == "src" && strings.HasPrefix(rest, "image/") && !strings.HasPrefix(rest, "image/svg")
	}
	return false
}

func unsafeStyle(s string) bool {
	s = plainText(s)
	for _, bad := range []string{"url(", "expression(", "javascript:", "@import", "behavior:", "-moz-binding", `\`, "/*"} {
		if strings.Contains(s, bad) {
			return true
		}
	}
	return false
}

// plainText gives a text in lower case without what a browser passes over.
func plainText(s string) string {
	return strings.Map(func(c rune) rune {
		if c <= ' ' || c == 0x7f {
			return -1
		}
		return c
	}, strings.ToLower(s))
}
