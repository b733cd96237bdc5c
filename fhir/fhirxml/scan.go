package fhirxml

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/jumpa-hie/jumpa/fhir"
)

// The namespaces that have a meaning here.
const (
	nsFHIR  = "http://hl7.org/fhir"
	nsXHTML = "http://www.w3.org/1999/xhtml"
	nsXSI   = "http://www.w3.org/2001/XMLSchema-instance"
	nsXML   = "http://www.w3.org/XML/1998/namespace"
	nsXMLNS = "http://www.w3.org/2000/xmlns/"
)

// maxAttributes bounds the attributes of one element, namespaces included.
const maxAttributes = 64

// maxBindings bounds the namespace declarations that hold at one place.
const maxBindings = 64

// tree is a document taken apart. The elements stand in document order.
type tree struct {
	text  string
	nodes []node
	attrs []attr

	// imports are the namespaces that a narrative uses and that are declared
	// outside of it, by the narrative's node.
	imports map[int32][]binding
}

// node is one element; next is the index behind its whole subtree.
type node struct {
	start, end         int32 // the element's bytes, tags included
	nameEnd            int32 // behind the name in the start tag
	next               int32
	same               int32 // the next sibling of the same name, see decoder.group
	attrStart, attrEnd int32
	stray              int32 // where text stands that is not white space, -1 when nowhere
	local, ns          string
}

type attr struct{ local, ns, value string }

// binding ties a prefix ("" for the default) to a namespace.
type binding struct {
	prefix, uri string
	node        int32 // the element that declares it
}

// scanner reads XML 1.0 with namespaces in one pass, without recursion. It
// knows no document type and hence no entities but the five of XML itself.
type scanner struct {
	tree
	pos      int
	lim      fhir.Limits
	tokens   int
	open     []int32 // elements that have not ended
	names    []string
	bindings []binding
	scopes   []int // per open element: how many bindings were there before it
	div      int32 // the narrative around the position, -1 when there is none
	fragment bool  // a narrative by itself: no declaration, no text around it
}

// scan takes a document apart. The text must not be larger than lim.Bytes.
func scan(text string, lim fhir.Limits, fragment bool) (*tree, error) {
	s := scanner{tree: tree{text: text, nodes: make([]node, 0, len(text)/32+8)}, lim: lim, div: -1, fragment: fragment}
	s.bindings = append(s.bindings, binding{prefix: "xml", uri: nsXML, node: -1})
	if err := s.characters(); err != nil {
		return nil, err
	}
	if err := s.declaration(); err != nil {
		return nil, err
	}
	for s.pos < len(s.text) {
		if err := s.token(); err != nil {
			return nil, err
		}
	}
	switch {
	case len(s.open) > 0:
		return nil, s.fail("an element does not end")
	case len(s.nodes) == 0:
		return nil, s.fail("there is no element")
	}
	return &s.tree, nil
}

func (s *scanner) fail(what string) error { return s.failAt(s.pos, "%s", what) }

func (s *scanner) failAt(pos int, format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	if s.fragment {
		return fhir.Errorf(fhir.CodeStructure, "", "The narrative is not well-formed XHTML: %s.", what)
	}
	return fhir.Errorf(fhir.CodeStructure, "", "The document is not well-formed FHIR XML: %s (%s).", what, s.where(pos))
}

// where gives a place as people count it.
func (t *tree) where(pos int) string {
	before := t.text[:min(pos, len(t.text))]
	return fmt.Sprintf("line %d, column %d", strings.Count(before, "\n")+1, utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])+1)
}

// count adds a part of the document to those that are bounded.
func (s *scanner) count() error {
	if s.tokens++; s.tokens > s.lim.Nodes {
		return fhir.Errorf(fhir.CodeTooCostly, "", "The document has more than %d parts.", s.lim.Nodes)
	}
	return nil
}

// characters checks that all of the text is made of characters that XML has.
func (s *scanner) characters() error {
	for i, r := range s.text {
		if r >= 0x20 && r < 0x80 {
			continue
		}
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s.text[i:]); size == 1 {
				return s.failAt(i, "it is not UTF-8")
			}
		}
		if !isChar(r) {
			return s.failAt(i, "it holds a character that XML does not have")
		}
	}
	return nil
}

func isChar(r rune) bool {
	return r >= 0x20 && r <= 0xD7FF || r == '\t' || r == '\n' || r == '\r' || r >= 0xE000 && r <= 0xFFFD || r >= 0x10000 && r <= 0x10FFFF
}

var declarationForm = regexp.MustCompile(`^<\?xml[ \t\r\n]+version[ \t\r\n]*=[ \t\r\n]*["']([^"'<]*)["']` +
	`(?:[ \t\r\n]+encoding[ \t\r\n]*=[ \t\r\n]*["']([^"'<]*)["'])?` +
	`(?:[ \t\r\n]+standalone[ \t\r\n]*=[ \t\r\n]*["'](?:yes|no)["'])?[ \t\r\n]*\?>`)

func (s *scanner) declaration() error {
	if s.fragment || !strings.HasPrefix(s.text, "<?xml") || len(s.text) > 5 && isNameChar(rune(s.text[5])) {
		return nil
	}
	m := declarationForm.FindStringSubmatch(s.text)
	switch {
	case m == nil:
		return s.fail("the XML declaration is broken")
	case m[1] != "1.0":
		return s.fail("only XML 1.0 is accepted")
	case m[2] != "" && !strings.EqualFold(m[2], "UTF-8"):
		return s.fail("only the encoding UTF-8 is accepted")
	}
	s.pos = len(m[0])
	return nil
}

func (s *scanner) token() error {
	rest := s.text[s.pos:]
	if rest[0] != '<' {
		return s.characterData()
	}
	if err := s.count(); err != nil {
		return err
	}
	switch {
	case strings.HasPrefix(rest, "</"):
		return s.endTag()
	case strings.HasPrefix(rest, "<!--"):
		return s.comment()
	case strings.HasPrefix(rest, "<![CDATA["):
		return s.cdata()
	case strings.HasPrefix(rest, "<!"):
		return s.fail("a document type is not accepted")
	case strings.HasPrefix(rest, "<?"):
		return s.fail("a processing instruction is not accepted")
	}
	return s.startTag()
}

func (s *scanner) comment() error {
	end := strings.Index(s.text[s.pos+4:], "--")
	if end < 0 || !strings.HasPrefix(s.text[s.pos+4+end:], "-->") {
		return s.fail("a comment does not end")
	}
	s.pos += 4 + end + 3
	return nil
}

func (s *scanner) cdata() error {
	end := strings.Index(s.text[s.pos:], "]]>")
	if len(s.open) == 0 || end < 0 {
		return s.fail("a CDATA section stands outside of the document or does not end")
	}
	if end > len("<![CDATA[") {
		s.stray(s.pos)
	}
	s.pos += end + 3
	return nil
}

func (s *scanner) stray(pos int) {
	if n := &s.nodes[s.open[len(s.open)-1]]; n.stray < 0 {
		n.stray = int32(pos)
	}
}

func (s *scanner) characterData() error {
	end := strings.IndexByte(s.text[s.pos:], '<')
	if end < 0 {
		end = len(s.text) - s.pos
	}
	data := s.text[s.pos : s.pos+end]
	solid := strings.IndexFunc(data, notSpace)
	switch {
	case solid < 0:
		s.pos += end
		return nil
	case len(s.open) == 0:
		s.pos += solid
		return s.fail("there is text outside of the document's element")
	}
	s.stray(s.pos + solid)
	if i := strings.Index(data, "]]>"); i >= 0 {
		return s.failAt(s.pos+i, "]]> stands in text")
	}
	if _, err := s.unescape(data, s.pos, false); err != nil {
		return err
	}
	s.pos += end
	return s.count()
}

func notSpace(r rune) bool { return r != ' ' && r != '\t' && r != '\n' && r != '\r' }

func (s *scanner) space() (any bool) {
	for s.pos < len(s.text) && !notSpace(rune(s.text[s.pos])) {
		s.pos++
		any = true
	}
	return any
}

// name reads a qualified name.
func (s *scanner) name() (prefix, local string, err error) {
	start := s.pos
	for i, r := range s.text[s.pos:] {
		if i == 0 && !isNameStart(r) {
			break
		}
		if !isNameChar(r) && r != ':' {
			break
		}
		s.pos = start + i + utf8.RuneLen(r)
	}
	whole := s.text[start:s.pos]
	prefix, local, qualified := strings.Cut(whole, ":")
	if !qualified {
		prefix, local = "", whole
	}
	first, _ := utf8.DecodeRuneInString(local)
	if local == "" || qualified && prefix == "" || !isNameStart(first) || strings.Contains(local, ":") {
		s.pos = start
		return "", "", s.fail("a name is missing or malformed")
	}
	return prefix, local, nil
}

func isNameStart(r rune) bool {
	switch {
	case r < 0x80:
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_'
	case r < 0x300:
		return r >= 0xC0 && r != 0xD7 && r != 0xF7
	}
	return r >= 0x370 && r <= 0x1FFF && r != 0x37E || r == 0x200C || r == 0x200D || r >= 0x2070 && r <= 0x218F ||
		r >= 0x2C00 && r <= 0x2FEF || r >= 0x3001 && r <= 0xD7FF || r >= 0xF900 && r <= 0xFDCF ||
		r >= 0xFDF0 && r <= 0xFFFD || r >= 0x10000 && r <= 0xEFFFF
}

func isNameChar(r rune) bool {
	return isNameStart(r) || r >= '0' && r <= '9' || r == '-' || r == '.' || r == 0xB7 || r >= 0x300 && r <= 0x36F || r == 0x203F || r == 0x2040
}

// rawAttr is an attribute before its prefix is resolved.
type rawAttr struct {
	prefix, local, value string
	pos                  int
}

func (s *scanner) startTag() error {
	start := s.pos
	if len(s.open) == 0 && len(s.nodes) > 0 {
		return s.fail("there is a second element after the document's element")
	}
	if len(s.open) > s.lim.Depth {
		return fhir.Errorf(fhir.CodeTooCostly, "", "The document is nested deeper than %d levels.", s.lim.Depth).WithStatus(400)
	}
	s.pos++
	prefix, local, err := s.name()
	if err != nil {
		return err
	}
	at := int32(len(s.nodes))
	s.nodes = append(s.nodes, node{start: int32(start), nameEnd: int32(s.pos), local: local, stray: -1, same: -1})
	s.scopes = append(s.scopes, len(s.bindings))
	var buf [8]rawAttr
	attrs := buf[:0]
	for {
		spaced := s.space()
		if s.pos >= len(s.text) {
			return s.fail("a tag does not end")
		}
		if c := s.text[s.pos]; c == '>' || c == '/' {
			break
		}
		if !spaced {
			return s.fail("white space is missing before an attribute")
		}
		a, err := s.attribute()
		if err != nil {
			return err
		}
		if attrs = append(attrs, a); len(attrs) > maxAttributes {
			return fhir.Errorf(fhir.CodeTooCostly, "", "An element has more than %d attributes (%s).", maxAttributes, s.where(s.pos))
		}
		if err := s.declare(a, at); err != nil {
			return err
		}
	}
	if err := s.resolve(at, prefix, attrs); err != nil {
		return err
	}
	s.open = append(s.open, at)
	s.names = append(s.names, s.text[start+1:s.nodes[at].nameEnd])
	if s.text[s.pos] == '>' {
		s.pos++
		return nil
	}
	if !strings.HasPrefix(s.text[s.pos:], "/>") {
		return s.fail("a tag does not end")
	}
	s.pos += 2
	s.close()
	return nil
}

func (s *scanner) attribute() (a rawAttr, err error) {
	a.pos = s.pos
	if a.prefix, a.local, err = s.name(); err != nil {
		return a, err
	}
	s.space()
	if s.pos >= len(s.text) || s.text[s.pos] != '=' {
		return a, s.fail("an attribute has no value")
	}
	s.pos++
	s.space()
	if s.pos >= len(s.text) || s.text[s.pos] != '"' && s.text[s.pos] != '\'' {
		return a, s.fail("the value of an attribute has no quotes")
	}
	quote := s.text[s.pos]
	s.pos++
	end := strings.IndexByte(s.text[s.pos:], quote)
	if end < 0 {
		return a, s.fail("the value of an attribute does not end")
	}
	raw := s.text[s.pos : s.pos+end]
	if i := strings.IndexByte(raw, '<'); i >= 0 {
		return a, s.failAt(s.pos+i, "a bare < stands in an attribute")
	}
	if a.value, err = s.unescape(raw, s.pos, true); err != nil {
		return a, err
	}
	s.pos += end + 1
	return a, s.count()
}

// declare takes up a namespace declaration.
func (s *scanner) declare(a rawAttr, at int32) error {
	var prefix string
	switch {
	case a.prefix == "xmlns":
		prefix = a.local
	case a.prefix != "" || a.local != "xmlns":
		return nil
	}
	if a.value == "" && prefix != "" || prefix == "xmlns" || a.value == nsXMLNS || (prefix == "xml") != (a.value == nsXML) {
		return s.failAt(a.pos, "a namespace declaration is not allowed")
	}
	if s.bindings = append(s.bindings, binding{prefix, a.value, at}); len(s.bindings) > maxBindings {
		return fhir.Errorf(fhir.CodeTooCostly, "", "More than %d namespaces are declared at one place (%s).", maxBindings, s.where(a.pos))
	}
	return nil
}

// resolve gives the element and its attributes their namespaces, once all
// declarations of the tag are known.
func (s *scanner) resolve(at int32, prefix string, attrs []rawAttr) error {
	n := &s.nodes[at]
	var parent string
	if len(s.open) > 0 {
		parent = s.nodes[s.open[len(s.open)-1]].ns
	}
	b, err := s.lookup(prefix, int(n.start))
	if err != nil {
		return err
	}
	n.ns = b.uri
	if s.div < 0 && n.ns == nsXHTML && parent == nsFHIR {
		s.div = at
	}
	s.use(b)
	n.attrStart = int32(len(s.attrs))
	for i, a := range attrs {
		for _, other := range attrs[:i] {
			if a.local == other.local && a.prefix == other.prefix {
				return s.failAt(a.pos, "an attribute stands twice")
			}
		}
		if a.prefix == "xmlns" || a.prefix == "" && a.local == "xmlns" {
			continue
		}
		ns := ""
		if a.prefix != "" {
			b, err := s.lookup(a.prefix, a.pos)
			if err != nil {
				return err
			}
			s.use(b)
			ns = b.uri
			for _, other := range s.attrs[n.attrStart:] {
				if other.local == a.local && other.ns == ns {
					return s.failAt(a.pos, "an attribute stands twice")
				}
			}
		}
		if ns == nsXSI && a.local == "schemaLocation" {
			continue // a hint for programs with a schema, which we are not
		}
		s.attrs = append(s.attrs, attr{a.local, ns, a.value})
	}
	n.attrEnd = int32(len(s.attrs))
	return nil
}

func (s *scanner) lookup(prefix string, pos int) (binding, error) {
	for i := len(s.bindings) - 1; i >= 0; i-- {
		if s.bindings[i].prefix == prefix {
			return s.bindings[i], nil
		}
	}
	if prefix != "" {
		return binding{}, s.failAt(pos, "a prefix has no namespace")
	}
	return binding{node: -1}, nil
}

// use notes a namespace that the narrative takes from outside.
func (s *scanner) use(b binding) {
	if s.div < 0 || b.node < 0 || b.node >= s.div {
		return
	}
	for _, known := range s.imports[s.div] {
		if known.prefix == b.prefix {
			return
		}
	}
	if s.imports == nil {
		s.imports = map[int32][]binding{}
	}
	s.imports[s.div] = append(s.imports[s.div], b)
}

func (s *scanner) endTag() error {
	if len(s.open) == 0 {
		return s.fail("an end tag has no start tag")
	}
	name := s.names[len(s.names)-1]
	rest, ok := strings.CutPrefix(s.text[s.pos+2:], name)
	if trimmed := strings.TrimLeft(rest, " \t\r\n"); ok && strings.HasPrefix(trimmed, ">") {
		s.pos = len(s.text) - len(trimmed) + 1
		s.close()
		return nil
	}
	return s.fail("an end tag does not fit its start tag")
}

// close ends the innermost element at the position.
func (s *scanner) close() {
	at := s.open[len(s.open)-1]
	n := &s.nodes[at]
	n.end, n.next = int32(s.pos), int32(len(s.nodes))
	s.bindings = s.bindings[:s.scopes[len(s.scopes)-1]]
	s.open, s.names, s.scopes = s.open[:len(s.open)-1], s.names[:len(s.names)-1], s.scopes[:len(s.scopes)-1]
	if at == s.div {
		s.div = -1
	}
}

// unescape resolves references; in an attribute, white space is made plain as
// XML 1.0 section 3.3.3 has it.
func (s *scanner) unescape(raw string, pos int, attribute bool) (string, error) {
	if strings.IndexByte(raw, '&') < 0 && (!attribute || !strings.ContainsAny(raw, "\t\r\n")) {
		return raw, nil
	}
	var b strings.Builder
	for i := 0; i < len(raw); {
		switch c := raw[i]; {
		case c == '&':
			end := strings.IndexByte(raw[i:min(len(raw), i+16)], ';')
			if end < 0 {
				return "", s.failAt(pos+i, "a bare & stands in text")
			}
			r, ok := reference(raw[i+1 : i+end])
			if !ok {
				return "", s.failAt(pos+i, "a character reference is unknown")
			}
			b.WriteRune(r)
			i += end + 1
		case attribute && c == '\r' && strings.HasPrefix(raw[i:], "\r\n"):
			i++ // the line feed becomes the space
		case attribute && (c == '\t' || c == '\r' || c == '\n'):
			b.WriteByte(' ')
			i++
		default:
			b.WriteByte(c)
			i++
		}
	}
	return b.String(), nil
}

func reference(name string) (rune, bool) {
	switch name {
	case "lt":
		return '<', true
	case "gt":
		return '>', true
	case "amp":
		return '&', true
	case "quot":
		return '"', true
	case "apos":
		return '\'', true
	}
	digits, ok := strings.CutPrefix(name, "#")
	if !ok {
		return 0, false
	}
	base := rune(10)
	if hex, ok := strings.CutPrefix(digits, "x"); ok {
		digits, base = hex, 16
	}
	var r rune
	for _, c := range digits {
		d := rune(99)
		switch {
		case c >= '0' && c <= '9':
			d = c - '0'
		case c >= 'a' && c <= 'f':
			d = c - 'a' + 10
		case c >= 'A' && c <= 'F':
			d = c - 'A' + 10
		}
		if d >= base {
			return 0, false
		}
		if r = r*base + d; r > utf8.MaxRune {
			return 0, false
		}
	}
	return r, digits != "" && isChar(r)
}
