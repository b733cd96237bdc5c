package fhirxml

import (
	"html"
	"regexp"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
)

var newlines = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// narrative writes a div as the string that JSON has: its own bytes, and the
// namespaces that it takes from outside.
func (d *decoder) narrative(n int32) error {
	for c := n; c < d.nodes[n].next; c++ {
		if d.nodes[c].ns != nsXHTML {
			return d.fail(fhir.CodeStructure, c, "The element%s is not in the namespace %s.", called(d.nodes[c].local), nsXHTML)
		}
	}
	x := &d.nodes[n]
	var b strings.Builder
	b.WriteString(d.text[x.start:x.nameEnd])
	for _, i := range d.imports[n] {
		b.WriteString(" xmlns")
		if i.prefix != "" {
			b.WriteString(":" + i.prefix)
		}
		b.WriteString(`="` + string(appendEscaped(nil, i.uri)) + `"`)
	}
	b.WriteString(d.text[x.nameEnd:x.end])
	d.out = appendString(d.out, newlines.Replace(b.String()))
	return nil
}

var namedCharacter = regexp.MustCompile(`&[A-Za-z][A-Za-z0-9]*;`)

// markup gives the narrative of a JSON document as XML.
func markup(div string) (string, error) {
	div = strings.Trim(newlines.Replace(div), " \t\n")
	if !strings.Contains(div, "<![CDATA[") && !strings.Contains(div, "<!--") {
		div = namedCharacter.ReplaceAllStringFunc(div, plainCharacter)
	}
	lim := fhir.DefaultLimits
	lim.Nodes = 4 * lim.Nodes // the document as a whole has been bounded
	t, err := scan(div, lim, true)
	if err != nil {
		return "", err
	}
	root := &t.nodes[0]
	if root.ns == "" && root.local == "div" {
		// What the sender meant, but did not say.
		div = div[:root.nameEnd] + ` xmlns="` + nsXHTML + `"` + div[root.nameEnd:]
		if t, err = scan(div, lim, true); err != nil {
			return "", err // it had declared that it has no namespace
		}
		root = &t.nodes[0]
	}
	if root.local != "div" || root.start != 0 || int(root.end) != len(div) {
		return "", fhir.Errorf(fhir.CodeStructure, "", "The narrative must be one div and nothing else.")
	}
	for i := range t.nodes {
		if t.nodes[i].ns != nsXHTML {
			return "", fhir.Errorf(fhir.CodeStructure, "", "The narrative holds an element that is not XHTML.")
		}
	}
	return div, nil
}

// plainCharacter gives the character that HTML knows by a name and XML does not.
func plainCharacter(name string) string {
	switch name {
	case "&lt;", "&gt;", "&amp;", "&quot;", "&apos;":
		return name
	}
	plain := html.UnescapeString(name)
	if strings.ContainsAny(plain, "<>&\"'") {
		return name // an alias of one of the five, or no name at all
	}
	return plain
}
