package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds a file of settings or topics, in bytes.
const maxFile = 1 << 20

// confFile is a file that a setting names. Its mistakes name the setting, the
// file and the line, and never what stands there: it may be secret.
type confFile struct{ setting, name string }

// mistake is one in a line, or in the whole file when line is 0. The format
// goes on behind the place.
func (f confFile) mistake(line int, format string, args ...any) error {
	if line == 0 {
		return usage("%s: %s"+format, append([]any{f.setting, f.name}, args...)...)
	}
	return usage("%s: line %d of %s"+format, append([]any{f.setting, line, f.name}, args...)...)
}

func (f confFile) read() ([]byte, error) {
	file, err := os.Open(f.name)
	if err != nil {
		return nil, f.mistake(0, " cannot be read: %v", cause(err))
	}
	defer func() { _ = file.Close() }()
	raw, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	switch {
	case err != nil:
		return nil, f.mistake(0, " cannot be read: %v", cause(err))
	case len(raw) > maxFile:
		return nil, f.mistake(0, " is larger than %d bytes", maxFile)
	}
	return raw, nil
}

// escape finds what may stand for characters in texts of JSON.
var escape = regexp.MustCompile(`\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\.`)

// unescaped writes out the escapes of JSON that the reader of YAML does not
// know: a slash, and characters of two units of UTF-16.
func unescaped(escape []byte) []byte {
	var text string
	if (len(escape) > 2 || escape[1] == '/') && json.Unmarshal([]byte(`"`+string(escape)+`"`), &text) == nil {
		return []byte(text)
	}
	return escape
}

var lineOf = regexp.MustCompile(`line (\d+)`)

// yaml reads the file as the one document of YAML, or JSON, in which every
// value stands for itself. It gives nil when there is nothing in it.
func (f confFile) yaml() (*yaml.Node, error) {
	raw, err := f.read()
	if err != nil {
		return nil, err
	}
	if json.Valid(raw) {
		raw = escape.ReplaceAllFunc(raw, unescaped)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(raw))
	var document, second yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, f.unreadable(err)
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		return nil, f.mistake(second.Line, " begins a second document; there may be one")
	case !errors.Is(err, io.EOF):
		return nil, f.unreadable(err)
	}
	if len(document.Content) != 1 || document.Content[0].Tag == "!!null" {
		return nil, nil
	}
	if err := f.plain(document.Content[0]); err != nil {
		return nil, err
	}
	return document.Content[0], nil
}

func (f confFile) unreadable(err error) error {
	const hint = " cannot be read as YAML or JSON; texts with signs such as * & ! { : # need quotes"
	switch m := lineOf.FindStringSubmatch(err.Error()); {
	case m != nil:
		return usage("%s: line %s of %s%s", f.setting, m[1], f.name, hint)
	case strings.Contains(err.Error(), "anchor"): // whose line is not told
		return f.mistake(0, hint)
	}
	return f.mistake(1, hint)
}

// plain refuses what makes a value more than what stands there.
func (f confFile) plain(n *yaml.Node) error {
	if n.Kind == yaml.AliasNode || n.Anchor != "" || n.Style&yaml.TaggedStyle != 0 {
		return f.mistake(n.Line, " has an anchor, an alias or a tag of YAML, which are not used here; texts that begin with & * or ! need quotes")
	}
	for _, c := range n.Content {
		if err := f.plain(c); err != nil {
			return err
		}
	}
	return nil
}

// members gives the names and values of a mapping in turn, each name once.
func (f confFile) members(n *yaml.Node, visit func(name, value *yaml.Node) error) error {
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		if name.Kind != yaml.ScalarNode {
			return f.mistake(name.Line, " has a list or a mapping where a name belongs")
		}
		if err := visit(name, value); err != nil {
			return err
		}
		if seen[name.Value] {
			return f.mistake(name.Line, ": %s was set above", shown(name.Value))
		}
		seen[name.Value] = true
	}
	return nil
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// shown gives a name in quotes, unless it may be something else in its place.
func shown(name string) string {
	if plainName.MatchString(name) {
		return `"` + name + `"`
	}
	return "what stands there"
}
