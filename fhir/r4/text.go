package r4

import (
	"iter"
	"strings"
)

const (
	valueSetURL = "http://hl7.org/fhir/ValueSet/"
	searchURL   = "http://hl7.org/fhir/SearchParameter/"
)

// lines gives the lines of a text. They are parts of the text, not copies.
func lines(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for text != "" {
			var line string
			line, text, _ = strings.Cut(text, "\n")
			if line != "" && !yield(line) {
				return
			}
		}
	}
}

// fields reads a line from left to right; behind its end all is empty.
type fields struct{ rest string }

var plain = strings.NewReplacer(`\\`, `\`, `\t`, "\t", `\n`, "\n", `\r`, "\r")

func (f *fields) next() string {
	var field string
	field, f.rest, _ = strings.Cut(f.rest, "\t")
	if strings.IndexByte(field, '\\') >= 0 {
		return plain.Replace(field)
	}
	return field
}

// lengthen puts the usual beginning of a URL before a name.
func lengthen(s, prefix string) string {
	if s == "" || strings.ContainsAny(s, ":/") {
		return s
	}
	return prefix + s
}

// list splits at commas; an empty text is no list.
func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}
