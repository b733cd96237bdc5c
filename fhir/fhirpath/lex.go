package fhirpath

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

type tokenKind uint8

const (
	tEnd tokenKind = iota
	tName
	tQuoted // `name`
	tString
	tNumber
	tMoment
	tSymbol
)

type token struct {
	kind tokenKind
	pos  int
	text string
}

// next reads a token.
func (p *parser) next() {
	if p.err != nil {
		return
	}
	p.space()
	start := p.pos
	if start >= len(p.src) {
		p.tok = token{kind: tEnd, pos: start}
		return
	}
	c := p.src[start]
	switch {
	case letter(c):
		p.take(func(c byte) bool { return letter(c) || digit(c) })
		p.tok = token{tName, start, p.src[start:p.pos]}
	case digit(c):
		p.take(digit)
		if p.pos+1 < len(p.src) && p.src[p.pos] == '.' && digit(p.src[p.pos+1]) {
			p.pos++
			p.take(digit)
		}
		p.tok = token{tNumber, start, p.src[start:p.pos]}
	case c == '\'' || c == '`':
		s := p.quoted(c)
		k := tString
		if c == '`' {
			k = tQuoted
		}
		if p.err == nil {
			p.tok = token{k, start, s}
		}
	case c == '@':
		p.moment()
	case c == '$':
		p.pos++
		p.take(letter)
		p.tok = token{tSymbol, start, p.src[start:p.pos]}
	case c == '"':
		p.fail(start, "strings are written in single quotes, names in backquotes")
	default:
		n := 1
		if start+1 < len(p.src) && slices.Contains([]string{"<=", ">=", "!=", "!~"}, p.src[start:start+2]) {
			n = 2
		}
		text := p.src[start : start+n]
		if n == 1 && !strings.Contains(".[](){},|+-*/&=~<>%", text) {
			r, _ := utf8.DecodeRuneInString(p.src[start:])
			p.fail(start, "%q is no part of the language", r)
			return
		}
		p.pos += n
		p.tok = token{tSymbol, start, text}
	}
}

func (p *parser) space() {
	for p.pos < len(p.src) {
		rest := p.src[p.pos:]
		switch {
		case strings.IndexByte(" \t\r\n", rest[0]) >= 0:
			p.pos++
		case strings.HasPrefix(rest, "//"):
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				end = len(rest)
			}
			p.pos += end
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest, "*/")
			if end < 0 {
				p.fail(p.pos, "the comment has no end")
				return
			}
			p.pos += end + 2
		default:
			return
		}
	}
}

func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' }
func digit(c byte) bool  { return c >= '0' && c <= '9' }

func (p *parser) take(ok func(byte) bool) {
	for p.pos < len(p.src) && ok(p.src[p.pos]) {
		p.pos++
	}
}

// quoted reads a string or a delimited name with its escapes.
func (p *parser) quoted(quote byte) string {
	start := p.pos
	p.pos++
	var b strings.Builder
	for p.pos < len(p.src) {
		c := p.src[p.pos]
		p.pos++
		if c == quote {
			return b.String()
		}
		if c != '\\' {
			b.WriteByte(c)
			continue
		}
		if p.pos >= len(p.src) {
			break
		}
		c = p.src[p.pos]
		p.pos++
		switch c {
		case '\'', '"', '`', '\\', '/':
			b.WriteByte(c)
		case 'f', 'n', 'r', 't':
			b.WriteByte("\f\n\r\t"[strings.IndexByte("fnrt", c)])
		case 'u':
			r, ok := p.hex()
			if ok && utf16.IsSurrogate(r) {
				ok = strings.HasPrefix(p.src[p.pos:], `\u`)
				if ok {
					p.pos += 2
					var low rune
					if low, ok = p.hex(); ok {
						r = utf16.DecodeRune(r, low)
						ok = r != utf8.RuneError
					}
				}
			}
			if !ok {
				p.fail(p.pos, "\\u needs four hexadecimal digits of a character")
				return ""
			}
			b.WriteRune(r)
		default:
			p.fail(p.pos-2, "the escape is not known")
			return ""
		}
	}
	p.fail(start, "the string has no end")
	return ""
}

func (p *parser) hex() (rune, bool) {
	if p.pos+4 > len(p.src) {
		return 0, false
	}
	n, err := strconv.ParseUint(p.src[p.pos:p.pos+4], 16, 16)
	if err != nil {
		return 0, false
	}
	p.pos += 4
	return rune(n), true
}

// moment reads a literal after @.
func (p *parser) moment() {
	start := p.pos
	p.pos++
	in := func(set string) func(byte) bool {
		return func(c byte) bool { return strings.IndexByte(set, c) >= 0 }
	}
	p.take(in("0123456789-"))
	if p.pos < len(p.src) && p.src[p.pos] == 'T' {
		p.pos++
		clock := p.pos
		p.take(in("0123456789:"))
		if p.pos+1 < len(p.src) && p.src[p.pos] == '.' && digit(p.src[p.pos+1]) {
			p.pos++
			p.take(digit)
		}
		if p.pos > clock && p.pos < len(p.src) {
			switch p.src[p.pos] {
			case 'Z':
				p.pos++
			case '+', '-':
				if zone := p.src[p.pos:]; len(zone) >= 6 && digit(zone[1]) && digit(zone[2]) && zone[3] == ':' && digit(zone[4]) && digit(zone[5]) {
					p.pos += 6
				}
			}
		}
	}
	p.tok = token{tMoment, start, p.src[start+1 : p.pos]}
}
