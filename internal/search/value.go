package search

import (
	"math"
	"strconv"
	"strings"
	"unicode"

	"github.com/jumpa-hie/jumpa/mycore"
)

var escaper = strings.NewReplacer(`\`, `\\`, `|`, `\|`)

// TokenValue gives the Value of a store.Token entry: code|system, where a bar
// or backslash within the code is written with a backslash before it. Systems
// that the guide spells in several ways are kept in one.
func TokenValue(code, system string) string {
	if strings.ContainsAny(code, `\|`) {
		code = escaper.Replace(code)
	}
	if system == mycore.SystemMyKadVariant {
		system = mycore.SystemMyKad
	}
	return code + "|" + mycore.Normalize(system)
}

// millionths reads a decimal as a count of millionths.
func millionths(s string) (int64, bool) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) || math.Abs(f) > 1e12 {
		return 0, false
	}
	return int64(math.Round(f * 1e6)), true
}

// fold makes texts comparable: lower case, no accents, single spaces.
func fold(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	space := false
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			space = b.Len() > 0
			continue
		case r >= 0x300 && r <= 0x36F: // combining accents
			continue
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		r = unicode.ToLower(r)
		if plain, ok := plainLetters[r]; ok {
			b.WriteString(plain)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// plainLetters gives Latin letters without their accents.
var plainLetters = plain(
	"a", "àáâãäåāăąǎạảấầẩẫậắằẳẵặ", "ae", "æ", "c", "çćĉċč", "d", "ďđð", "e", "èéêëēĕėęěẹẻẽếềểễệ",
	"g", "ĝğġģ", "h", "ĥħ", "i", "ìíîïĩīĭįıǐỉị", "j", "ĵ", "k", "ķ", "l", "ĺļľŀł", "n", "ñńņňŋ",
	"o", "òóôõöøōŏőǒơọỏốồổỗộớờởỡợ", "oe", "œ", "r", "ŕŗř", "s", "śŝşšș", "ss", "ß", "t", "ţťŧț",
	"u", "ùúûüũūŭůűųǔưụủứừửữự", "w", "ŵẁẃẅ", "y", "ýÿŷỳỵỷỹ", "z", "źżž", "th", "þ",
)

func plain(pairs ...string) map[rune]string {
	m := make(map[rune]string)
	for i := 0; i < len(pairs); i += 2 {
		for _, accented := range pairs[i+1] {
			m[accented] = pairs[i]
		}
	}
	return m
}
