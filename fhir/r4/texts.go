package r4

import (
	_ "embed"
	"sync"
)

// Text is what the release says about an element for people.
type Text struct {
	Short    string
	Modifier string // why the element is a modifier, "" when it is none
}

//go:embed texts.txt
var textsText string

var texts = sync.OnceValue(func() map[string]Text {
	all := make(map[string]Text, 7000)
	for line := range lines(textsText) {
		f := fields{line}
		all[f.next()] = Text{Short: f.next(), Modifier: f.next()}
	}
	return all
})

// LookupText gives the text of an element by its path in a definition, such as
// Patient.contact. ok is false for an element that says the same as the one of
// the base type that it repeats: Patient.id says what Resource.id says.
func LookupText(path string) (text Text, ok bool) {
	text, ok = texts()[path]
	return text, ok
}
