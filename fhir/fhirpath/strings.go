package fhirpath

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"

	"github.com/jumpa-hie/jumpa/fhir"
)

// The bounds of a regular expression: its bytes, and its states when all
// repetitions are written out.
const (
	maxPattern = 1 << 10
	maxStates  = 5000
)

// pattern is a regular expression of RE2: it takes time in proportion to its
// states and the text.
type pattern struct {
	*regexp.Regexp
	states int
	empty  bool // there is nothing to look for
}

// compilePattern reads a regular expression. A dot matches a line end too.
func compilePattern(text string, full bool) (*pattern, error) {
	if len(text) > maxPattern {
		return nil, fmt.Errorf("it is longer than %d bytes", maxPattern)
	}
	if full {
		text = `\A(?:` + text + `)\z`
	}
	text = "(?s)" + text
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, errors.New("it is not in the syntax of RE2")
	}
	n := states(tree)
	if n > maxStates {
		return nil, fmt.Errorf("it has more than %d states", maxStates)
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, errors.New("it is not in the syntax of RE2")
	}
	return &pattern{re, n, tree.Op == syntax.OpEmptyMatch}, nil
}

// states counts what a pattern becomes when its repetitions are written out.
func states(re *syntax.Regexp) int {
	n := 1
	if re.Op == syntax.OpLiteral {
		n = len(re.Rune)
	}
	for _, sub := range re.Sub {
		if n += states(sub); n > maxStates {
			return n
		}
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min, re.Max, 1)
	}
	return n
}

// reads counts the steps of running a pattern over a text.
func (m *machine) reads(re *pattern, s string) bool { return m.step(len(s) * re.states / 256) }

// input gives the text that a function works on; ok is false when there is none.
func (m *machine) input(x *expr, in Collection) (string, bool) {
	return m.stringOf(x, in, "the input of "+x.name+"()")
}

// argument gives the text of an argument.
func (m *machine) argument(x *expr, e env, i int) (string, bool) {
	return m.stringOf(x, m.eval(x.args[i], e), "the argument of "+x.name+"()")
}

// pattern gives the regular expression of the first argument.
func (m *machine) pattern(x *expr, e env) (*pattern, bool) {
	if x.re != nil {
		return x.re, true
	}
	s, ok := m.argument(x, e, 0)
	if !ok {
		return nil, false
	}
	re, err := compilePattern(s, x.name == "matchesFull")
	if err != nil {
		m.invalid(x, "the regular expression cannot be used: "+err.Error())
		return nil, false
	}
	return re, m.step(10 * re.states)
}

func (m *machine) matchesPattern(x *expr, e env, in Collection) Collection {
	s, ok := m.input(x, in)
	if !ok {
		return nil
	}
	re, ok := m.pattern(x, e)
	if !ok || !m.reads(re, s) {
		return nil
	}
	return boolean(re.MatchString(s))
}

func (m *machine) replaceMatches(x *expr, e env, in Collection) Collection {
	s, ok1 := m.input(x, in)
	with, ok2 := m.argument(x, e, 1)
	if !ok1 || !ok2 {
		return nil
	}
	re, ok := m.pattern(x, e)
	if !ok || !m.reads(re, s) {
		return nil
	}
	if re.empty {
		return in
	}
	template := replacement(with)
	var b strings.Builder
	last := 0
	for _, at := range re.FindAllStringSubmatchIndex(s, m.most) {
		b.WriteString(s[last:at[0]])
		b.Write(re.ExpandString(nil, template, s, at))
		last = at[1]
		if b.Len() > m.bytes || !m.step(1) {
			m.made(b.Len())
			return nil
		}
	}
	b.WriteString(s[last:])
	return m.text(b.String())
}

// replacement turns $1 and \$ into what Go's regexp understands.
func replacement(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && (s[i+1] == '$' || s[i+1] == '\\'):
			i++
			if s[i] == '$' {
				b.WriteByte('$')
			}
			b.WriteByte(s[i])
		case s[i] == '$' && i+1 < len(s) && digit(s[i+1]):
			b.WriteString("${" + s[i+1:i+2] + "}")
			i++
		case s[i] == '$' && i+1 < len(s) && s[i+1] == '{':
			b.WriteByte('$')
		case s[i] == '$':
			b.WriteString("$$")
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func compareText(name string) func(*machine, *expr, env, Collection) Collection {
	f := map[string]func(s, sub string) bool{"startsWith": strings.HasPrefix, "endsWith": strings.HasSuffix, "contains": strings.Contains}[name]
	return func(m *machine, x *expr, e env, in Collection) Collection {
		s, ok1 := m.input(x, in)
		sub, ok2 := m.argument(x, e, 0)
		if !ok1 || !ok2 || !m.step(len(s)/64) {
			return nil
		}
		return boolean(f(s, sub))
	}
}

func changeText(name string) func(*machine, *expr, env, Collection) Collection {
	f := map[string]func(string) string{"upper": strings.ToUpper, "lower": strings.ToLower, "trim": strings.TrimSpace}[name]
	return func(m *machine, x *expr, _ env, in Collection) Collection {
		s, ok := m.input(x, in)
		if !ok {
			return nil
		}
		return m.text(f(s))
	}
}

// position counts in characters, as substring does.
func position(last bool) func(*machine, *expr, env, Collection) Collection {
	find := strings.Index
	if last {
		find = strings.LastIndex
	}
	return func(m *machine, x *expr, e env, in Collection) Collection {
		s, ok1 := m.input(x, in)
		sub, ok2 := m.argument(x, e, 0)
		if !ok1 || !ok2 || !m.step(len(s)/64) {
			return nil
		}
		at := find(s, sub)
		if at > 0 {
			at = utf8.RuneCountInString(s[:at])
		}
		return m.one(Integer(int32(at)))
	}
}

func (m *machine) substring(x *expr, e env, in Collection) Collection {
	s, ok1 := m.input(x, in)
	start, ok2 := m.integerOf(x, m.eval(x.args[0], e), "the start of substring()")
	if !ok1 || !ok2 || start < 0 {
		return nil
	}
	length := int64(len(s))
	if len(x.args) == 2 {
		if n, ok := m.integerOf(x, m.eval(x.args[1], e), "the length of substring()"); ok {
			length = n
		}
	}
	if m.err != nil {
		return nil
	}
	from, to, count := -1, len(s), int64(0)
	for at := range s {
		if count == start {
			from = at
		}
		if from >= 0 && count-start == max(length, 0) {
			to = at
			break
		}
		count++
	}
	if from < 0 {
		return nil
	}
	return m.text(s[from:to])
}

func (m *machine) replace(x *expr, e env, in Collection) Collection {
	s, ok1 := m.input(x, in)
	old, ok2 := m.argument(x, e, 0)
	with, ok3 := m.argument(x, e, 1)
	if !ok1 || !ok2 || !ok3 || !m.step(len(s)/16) {
		return nil
	}
	n := strings.Count(s, old)
	if grown := len(s) + n*(len(with)-len(old)); grown > m.bytes { // before it is made
		m.made(grown)
		return nil
	}
	return m.text(strings.ReplaceAll(s, old, with))
}

func (m *machine) length(x *expr, _ env, in Collection) Collection {
	s, ok := m.input(x, in)
	if !ok {
		return nil
	}
	return m.one(Integer(int32(utf8.RuneCountInString(s))))
}

func (m *machine) toChars(x *expr, _ env, in Collection) Collection {
	s, ok := m.input(x, in)
	if !ok || !m.step(len(s)) || !m.room(utf8.RuneCountInString(s)) {
		return nil
	}
	out := make(Collection, 0, len(s))
	for _, r := range s {
		out = append(out, Text(string(r)))
	}
	return out
}

func (m *machine) split(x *expr, e env, in Collection) Collection {
	s, ok1 := m.input(x, in)
	by, ok2 := m.argument(x, e, 0)
	if !ok1 || !ok2 || !m.room(strings.Count(s, by)+1) {
		return nil
	}
	var out Collection
	for part := range strings.SplitSeq(s, by) {
		if out = append(out, Text(part)); !m.step(1) {
			return nil
		}
	}
	return out
}

func (m *machine) joinText(x *expr, e env, in Collection) Collection {
	by := ""
	if len(x.args) == 1 {
		by, _ = m.argument(x, e, 0)
	}
	if len(in) == 0 {
		return nil
	}
	var b strings.Builder
	for i := range in {
		v, ok := m.system(&in[i])
		if !ok {
			continue
		}
		if v.kind != kString {
			return m.invalid(x, "join() takes strings")
		}
		if b.Len() > 0 || i > 0 {
			b.WriteString(by)
		}
		b.WriteString(v.text)
		if b.Len() > m.bytes || m.err != nil {
			m.made(b.Len())
			return nil
		}
	}
	return m.text(b.String())
}

var codecs = map[string]interface {
	EncodeToString([]byte) string
	DecodeString(string) ([]byte, error)
}{"base64": base64.StdEncoding, "urlbase64": base64.URLEncoding}

func (m *machine) encode(x *expr, e env, in Collection) Collection {
	s, ok1 := m.input(x, in)
	format, ok2 := m.argument(x, e, 0)
	if !ok1 || !ok2 {
		return nil
	}
	if codec, ok := codecs[format]; ok {
		return m.text(codec.EncodeToString([]byte(s)))
	}
	if format == "hex" {
		return m.text(hex.EncodeToString([]byte(s)))
	}
	return m.invalid(x, "encode() knows base64, urlbase64 and hex")
}

func (m *machine) decode(x *expr, e env, in Collection) Collection {
	s, ok1 := m.input(x, in)
	format, ok2 := m.argument(x, e, 0)
	if !ok1 || !ok2 {
		return nil
	}
	var raw []byte
	var err error
	if codec, ok := codecs[format]; ok {
		raw, err = codec.DecodeString(s)
	} else if format == "hex" {
		raw, err = hex.DecodeString(s)
	} else {
		return m.invalid(x, "decode() knows base64, urlbase64 and hex")
	}
	if err != nil || !utf8.Valid(raw) {
		return nil
	}
	return m.text(string(raw))
}

// quotes writes a quotation mark by its name in HTML, as the specification does.
var quotes = strings.NewReplacer("&#34;", "&quot;")

func (m *machine) escape(x *expr, e env, in Collection) Collection {
	s, ok1 := m.input(x, in)
	target, ok2 := m.argument(x, e, 0)
	switch {
	case !ok1 || !ok2:
		return nil
	case target == "html":
		return m.text(quotes.Replace(html.EscapeString(s)))
	case target == "json":
		q := string(fhir.Marshal(s))
		return m.text(q[1 : len(q)-1])
	}
	return m.invalid(x, "escape() knows html and json")
}

// quoted makes a string of JSON of its inside; a quotation mark that was not
// escaped stands for itself.
func quoted(s string) []byte {
	b := []byte{'"'}
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			b = append(b, s[i], s[i+1])
			i++
		case s[i] == '"':
			b = append(b, '\\', '"')
		default:
			b = append(b, s[i])
		}
	}
	return append(b, '"')
}

func (m *machine) unescape(x *expr, e env, in Collection) Collection {
	s, ok1 := m.input(x, in)
	target, ok2 := m.argument(x, e, 0)
	switch {
	case !ok1 || !ok2:
		return nil
	case target == "html":
		return m.text(html.UnescapeString(s))
	case target == "json":
		var plain string
		if json.Unmarshal(quoted(s), &plain) != nil {
			return nil
		}
		return m.text(plain)
	}
	return m.invalid(x, "unescape() knows html and json")
}
