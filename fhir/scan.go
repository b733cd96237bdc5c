package fhir

import "bytes"

// scanner is the one pass over the bytes: it checks RFC 8259 strictly and
// records a node for every value.
type scanner struct {
	raw   []byte
	pos   int
	lim   Limits
	nodes []node
}

func (s *scanner) fail(what string) error {
	return Errorf(CodeStructure, "", "The document is not valid JSON: %s (byte %d).", what, s.pos)
}

func (s *scanner) space() {
	for s.pos < len(s.raw) {
		switch s.raw[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

func (s *scanner) peek() byte {
	if s.pos < len(s.raw) {
		return s.raw[s.pos]
	}
	return 0
}

// value reads one value whose parent is the node at index parent.
func (s *scanner) value(parent int32, depth int) error {
	if depth > s.lim.Depth {
		return Errorf(CodeTooCostly, "", "The document is nested deeper than %d levels.", s.lim.Depth).WithStatus(400)
	}
	if len(s.nodes) >= s.lim.Nodes {
		return Errorf(CodeTooCostly, "", "The document has more than %d values.", s.lim.Nodes)
	}
	at := int32(len(s.nodes))
	s.nodes = append(s.nodes, node{start: int32(s.pos), parent: parent})
	var kind Kind
	var escaped bool
	var err error
	switch c := s.peek(); {
	case c == '{':
		kind, err = Object, s.object(at, depth)
	case c == '[':
		kind, err = Array, s.array(at, depth)
	case c == '"':
		kind = String
		escaped, err = s.str()
	case c == '-' || c >= '0' && c <= '9':
		kind, err = Number, s.number()
	default:
		kind, err = s.literal()
	}
	if err != nil {
		return err
	}
	n := &s.nodes[at]
	n.kind, n.escaped, n.end, n.next = kind, escaped, int32(s.pos), int32(len(s.nodes))
	return nil
}

func (s *scanner) literal() (Kind, error) {
	for _, l := range [...]struct {
		text string
		kind Kind
	}{{"true", Bool}, {"false", Bool}, {"null", Null}} {
		if bytes.HasPrefix(s.raw[s.pos:], []byte(l.text)) {
			s.pos += len(l.text)
			return l.kind, nil
		}
	}
	return None, s.fail("a value is missing")
}

func (s *scanner) object(at int32, depth int) error {
	s.pos++
	s.space()
	if s.peek() == '}' {
		s.pos++
		return nil
	}
	seen := keySet{d: s, first: at + 1}
	for {
		s.space()
		if s.peek() != '"' {
			return s.fail("a member name is missing")
		}
		start := s.pos
		escaped, err := s.str()
		if err != nil {
			return err
		}
		end := s.pos
		s.space()
		if s.peek() != ':' {
			return s.fail("a colon is missing")
		}
		s.pos++
		s.space()
		child := int32(len(s.nodes))
		if err := s.value(at, depth+1); err != nil {
			return err
		}
		n := &s.nodes[child]
		n.keyStart, n.keyEnd, n.keyEscaped = int32(start+1), int32(end-1), escaped
		if seen.has(child) {
			return Errorf(CodeStructure, "", "The member name at byte %d stands twice in the same object.", start)
		}
		s.space()
		switch s.peek() {
		case ',':
			s.pos++
		case '}':
			s.pos++
			return nil
		default:
			return s.fail("a comma or a closing brace is missing")
		}
	}
}

func (s *scanner) array(at int32, depth int) error {
	s.pos++
	s.space()
	if s.peek() == ']' {
		s.pos++
		return nil
	}
	for i := int32(0); ; i++ {
		s.space()
		child := len(s.nodes)
		if err := s.value(at, depth+1); err != nil {
			return err
		}
		s.nodes[child].at = i
		s.space()
		switch s.peek() {
		case ',':
			s.pos++
		case ']':
			s.pos++
			return nil
		default:
			return s.fail("a comma or a closing bracket is missing")
		}
	}
}

// str reads a string and tells whether it holds an escape.
func (s *scanner) str() (escaped bool, err error) {
	s.pos++
	for s.pos < len(s.raw) {
		switch c := s.raw[s.pos]; {
		case c == '"':
			s.pos++
			return escaped, nil
		case c == '\\':
			escaped = true
			if err := s.escape(); err != nil {
				return false, err
			}
		case c < 0x20:
			return false, s.fail("a string holds a bare control character")
		default:
			s.pos++
		}
	}
	return false, s.fail("a string does not end")
}

func (s *scanner) escape() error {
	s.pos++
	switch s.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos++
		return nil
	case 'u':
		r, err := s.hex4()
		if err != nil {
			return err
		}
		switch {
		case r >= 0xDC00 && r < 0xE000:
			return s.fail("half of a surrogate pair stands alone")
		case r >= 0xD800 && r < 0xDC00:
			if !bytes.HasPrefix(s.raw[s.pos:], []byte(`\u`)) {
				return s.fail("half of a surrogate pair stands alone")
			}
			s.pos++
			low, err := s.hex4()
			if err != nil {
				return err
			}
			if low < 0xDC00 || low >= 0xE000 {
				return s.fail("half of a surrogate pair stands alone")
			}
		}
		return nil
	}
	return s.fail("a string holds an unknown escape")
}

func (s *scanner) hex4() (r rune, err error) {
	s.pos++ // the u
	if s.pos+4 > len(s.raw) {
		return 0, s.fail("a string does not end")
	}
	for _, c := range s.raw[s.pos : s.pos+4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, s.fail("a \\u escape is not hexadecimal")
		}
	}
	s.pos += 4
	return r, nil
}

func (s *scanner) digits() int {
	start := s.pos
	for s.pos < len(s.raw) && s.raw[s.pos] >= '0' && s.raw[s.pos] <= '9' {
		s.pos++
	}
	return s.pos - start
}

func (s *scanner) number() error {
	if s.peek() == '-' {
		s.pos++
	}
	if s.peek() == '0' {
		s.pos++
	} else if s.digits() == 0 {
		return s.fail("a number has no digits")
	}
	if s.peek() == '.' {
		s.pos++
		if s.digits() == 0 {
			return s.fail("a number has no digits after the point")
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		if s.digits() == 0 {
			return s.fail("a number has no exponent")
		}
	}
	return nil
}

// keySet finds duplicate names: by comparing while there are few and all are
// plain, by a map when a hostile or unusual object has many or writes one with
// an escape.
type keySet struct {
	d     *scanner
	first int32
	count int
	names map[string]bool
}

const fewKeys = 24

func (k *keySet) name(i int32) string {
	n := &k.d.nodes[i]
	if n.keyEscaped {
		return unescape(k.d.raw[n.keyStart-1 : n.keyEnd+1])
	}
	return string(k.d.raw[n.keyStart:n.keyEnd])
}

// has records the member at index child and tells whether its name was known.
func (k *keySet) has(child int32) bool {
	k.count++
	c := &k.d.nodes[child]
	if k.names == nil && k.count <= fewKeys && !c.keyEscaped {
		for i := k.first; i < child; i = k.d.nodes[i].next {
			n := &k.d.nodes[i]
			if bytes.Equal(k.d.raw[n.keyStart:n.keyEnd], k.d.raw[c.keyStart:c.keyEnd]) {
				return true
			}
		}
		return false
	}
	if k.names == nil {
		k.names = make(map[string]bool, 2*fewKeys)
		for i := k.first; i < child; i = k.d.nodes[i].next {
			k.names[k.name(i)] = true
		}
	}
	name := k.name(child)
	known := k.names[name]
	k.names[name] = true
	return known
}
