package ui

import (
	"bufio"
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
)

//go:embed texts/*.txt
var textFiles embed.FS

// Key names a text of the catalogue.
type Key string

// entry is one text in all languages, and the names of its {places}.
type entry struct {
	text   map[Lang]string
	places []string // sorted, without repetition
}

// Catalogue holds every text of the pages in every language. It is safe for
// concurrent use.
type Catalogue struct{ entries map[Key]entry }

// Texts is the catalogue of this program. A text that is missing in one
// language stops the program at its start.
var Texts = mustLoad(textFiles)

func mustLoad(fsys fs.FS) *Catalogue {
	c, err := load(fsys)
	if err != nil {
		panic("ui: " + err.Error())
	}
	return c
}

// load reads texts/*.txt: a line "[key]", then one line "ms: …" for each
// language. Lines that start with # are remarks.
func load(fsys fs.FS) (*Catalogue, error) {
	c := &Catalogue{entries: map[Key]entry{}}
	names, err := fs.Glob(fsys, "texts/*.txt")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		body, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, err
		}
		if err := c.read(name, body); err != nil {
			return nil, err
		}
	}
	return c, c.complete()
}

func (c *Catalogue) read(name string, body []byte) error {
	var key Key
	lines := bufio.NewScanner(bytes.NewReader(body))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[' && strings.HasSuffix(line, "]"):
			key = Key(line[1 : len(line)-1])
			if _, twice := c.entries[key]; twice {
				return fmt.Errorf("%s:%d: text %q is there twice", name, n, key)
			}
			c.entries[key] = entry{text: map[Lang]string{}}
		default:
			code, text, _ := strings.Cut(line, ":")
			l, ok := ParseLang(code)
			text = strings.TrimSpace(text)
			if !ok || key == "" || text == "" || c.entries[key].text[l] != "" {
				return fmt.Errorf("%s:%d: cannot read %q under %q", name, n, line, key)
			}
			c.entries[key].text[l] = text
		}
	}
	return lines.Err()
}

var place = regexp.MustCompile(`\{([a-z]+)\}`)

func placesOf(text string) []string {
	var names []string
	for _, m := range place.FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// complete checks that each text is there in each language, with the same
// {places} everywhere.
func (c *Catalogue) complete() error {
	for key, e := range c.entries {
		e.places = placesOf(e.text[Malay])
		for _, l := range Languages {
			if e.text[l] == "" {
				return fmt.Errorf("text %q is missing in %s", key, l)
			}
			if !slices.Equal(placesOf(e.text[l]), e.places) {
				return fmt.Errorf("text %q has other places in %s than in %s", key, l, Malay)
			}
		}
		c.entries[key] = e
	}
	return nil
}

// Has tells whether the catalogue holds a text.
func (c *Catalogue) Has(key Key) bool {
	_, ok := c.entries[key]
	return ok
}

// Keys lists all keys, sorted.
func (c *Catalogue) Keys() []Key {
	keys := make([]Key, 0, len(c.entries))
	for k := range c.entries {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Say gives a text in a language. pairs are place names and their values,
// one after the other; they must be exactly the places of the text.
func (c *Catalogue) Say(l Lang, key Key, pairs ...any) (string, error) {
	e, ok := c.entries[key]
	if !ok {
		return "", fmt.Errorf("no text %q", key)
	}
	text, ok := e.text[l]
	if !ok {
		return "", fmt.Errorf("no language %q", l)
	}
	if len(pairs) != 2*len(e.places) {
		return "", fmt.Errorf("text %q needs values for %v", key, e.places)
	}
	old := make([]string, 0, len(pairs))
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok || !slices.Contains(e.places, name) {
			return "", fmt.Errorf("text %q has no place %v", key, pairs[i])
		}
		old = append(old, "{"+name+"}", fmt.Sprint(pairs[i+1]))
	}
	return strings.NewReplacer(old...).Replace(text), nil
}
