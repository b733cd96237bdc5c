package search

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// text reads the beginning of a text, of a Name also the beginning of any of
// its words.
func (p Param) text(value string) ([]store.Condition, error) {
	return p.compared(store.HasPrefix, value)
}

func (p Param) contains(value string) ([]store.Condition, error) {
	folded, err := p.folded(value)
	return is(p.Code, store.String, store.Contains, folded), err
}

func (p Param) compared(c store.Compare, value string) ([]store.Condition, error) {
	folded, err := p.folded(value)
	if err != nil {
		return nil, err
	}
	any := is(p.Code, store.String, c, folded)
	if p.Kind == Name {
		any = append(any, is(p.Code+byWord, store.String, c, folded)...)
	}
	return any, nil
}

func (p Param) folded(value string) (string, error) {
	text := fold(shorten(unescape(value)))
	if text == "" {
		return "", fhir.Errorf(fhir.CodeInvalid, "", "%s needs a text with letters or digits to look for.", strings.TrimSuffix(p.Code, byText))
	}
	return text, nil
}

func (p Param) exact(value string) ([]store.Condition, error) {
	return is(p.Code+asWritten, store.Token, store.Equal, TokenValue(shorten(unescape(value)), "")), nil
}

func (ix *indexer) text(p *Param, n fhir.Node) {
	raw := shorten(n.String())
	if folded := fold(raw); folded != "" {
		ix.add(store.Entry{Param: p.Code, Kind: store.String, Value: folded})
	}
	if raw != "" {
		ix.add(store.Entry{Param: p.Code + asWritten, Kind: store.Token, Value: TokenValue(raw, "")})
	}
}

// name indexes a text from each of its words on: a Malaysian name is often one
// text, and people look for any part of it.
func (ix *indexer) name(p *Param, n fhir.Node) {
	ix.text(p, n)
	rest := fold(shorten(n.String()))
	for range maxWords - 1 {
		_, after, ok := strings.Cut(rest, " ")
		if !ok {
			return
		}
		rest = after
		ix.add(store.Entry{Param: p.Code + byWord, Kind: store.String, Value: rest})
	}
}

func shorten(s string) string {
	s = strings.TrimSpace(s)
	if len(s) <= maxText || utf8.RuneCountInString(s) <= maxText {
		return s
	}
	return string([]rune(s)[:maxText])
}

// fold makes texts comparable: no case, no accents, no punctuation, single
// spaces. A text is folded alike whether its accents stand by themselves or
// not. Apostrophes and full stops vanish, other punctuation parts words.
func fold(s string) string {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			s = cases.Fold().String(norm.NFKD.String(s))
			break
		}
	}
	var b strings.Builder
	b.Grow(len(s))
	space := false
	for _, r := range s {
		if r < utf8.RuneSelf && (r >= 'a' && r <= 'z' || r >= '0' && r <= '9') {
			// as it is
		} else if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		} else if r == '\'' || r == '.' || r == '’' || r >= utf8.RuneSelf && unicode.Is(unicode.M, r) {
			continue
		} else if unicode.IsSpace(r) || unicode.IsPunct(r) || unicode.IsControl(r) {
			space = true
			continue
		}
		if space && b.Len() > 0 {
			b.WriteByte(' ')
		}
		space = false
		if r < utf8.RuneSelf {
			b.WriteByte(byte(r))
		} else if plain, ok := strokes[r]; ok {
			b.WriteString(plain)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// strokes gives letters whose stroke or ligature Unicode does not take apart.
var strokes = map[rune]string{
	'æ': "ae", 'œ': "oe", 'ø': "o", 'đ': "d", 'ð': "d", 'ħ': "h", 'ı': "i", 'ł': "l", 'ŋ': "n", 'ŧ': "t", 'þ': "th", 'ĸ': "k",
}
