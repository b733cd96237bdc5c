package api

import (
	"os"
	"strings"
	"testing"
)

// TestPageOfTheInterface sees that docs/fhir.md leaves out no operation, and
// promises none that is not there.
func TestPageOfTheInterface(t *testing.T) {
	text, err := os.ReadFile("../../docs/fhir.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	there := map[string]bool{}
	for _, o := range operations {
		there[o.name] = true
		if !strings.Contains(page, "`"+o.name+"`") {
			t.Errorf("the page does not name %s", o.name)
		}
	}
	for _, word := range strings.FieldsFunc(page, func(r rune) bool { return strings.ContainsRune("` ,\n|", r) }) {
		if strings.HasPrefix(word, "$") && !there[word] {
			t.Errorf("the page names %s, which is not there", word)
		}
	}
}
