package search

import (
	"math"
	"math/big"
	"regexp"
	"strconv"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/fhirpath"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// Numbers are kept as the bits of a float64, put in order: two decimals that
// differ within fifteen digits have different places, from 1e-308 to 1e308.

// place gives a number's place among all numbers.
func place(f float64) int64 {
	bits := int64(math.Float64bits(f + 0)) // no negative zero
	if bits < 0 {
		bits ^= math.MaxInt64
	}
	return bits
}

func placeOf(r *big.Rat) int64 {
	f, _ := r.Float64()
	return place(f)
}

// placeOfText reads a decimal of a document.
func placeOfText(s string) (int64, bool) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return 0, false
	}
	return place(f), true
}

var decimalForm = regexp.MustCompile(`^[+-]?(\d{1,60})(\.(\d{1,60}))?([eE]([+-]?\d{1,3}))?$`)

// maxExponent bounds the size of a number.
const maxExponent = 300

// decimal is a number of a search and half of what its last digit is worth.
type decimal struct{ value, half *big.Rat }

// parseDecimal reads a number. What the last digit is worth follows from how
// the number is written, as the specification has it: 100 is [99.5, 100.5),
// 100.00 is [99.995, 100.005), and 1e2 is [95, 105).
func parseDecimal(s string) (d decimal, ok bool) {
	m := decimalForm.FindStringSubmatch(s)
	if m == nil {
		return d, false
	}
	exponent, _ := strconv.Atoi(m[5])
	if exponent > maxExponent || exponent < -maxExponent {
		return d, false
	}
	if d.value, ok = new(big.Rat).SetString(s); !ok {
		return d, false
	}
	digits := exponent - len(m[3])
	if m[4] != "" && m[2] == "" {
		digits-- // as in 1e2
	}
	worth := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(digits, -digits))), nil))
	if digits < 0 {
		worth.Inv(worth)
	}
	d.half = worth.Quo(worth, big.NewRat(2, 1))
	return d, true
}

// match compares a number; factor is what one of its units is worth.
func (d decimal) match(prefix string, factor *big.Rat) store.Match {
	value, half := d.value, d.half
	if prefix == "ap" { // a tenth on either side
		half = new(big.Rat).Quo(new(big.Rat).Abs(value), big.NewRat(10, 1))
	}
	at := func(r *big.Rat) int64 {
		if factor != nil {
			r = new(big.Rat).Mul(r, factor)
		}
		return placeOf(r)
	}
	m := store.Match{Kind: store.Date, Compare: prefixes[prefix]}
	switch prefix {
	case "eq", "ne", "ap":
		m.Low, m.High = at(new(big.Rat).Sub(value, half)), at(new(big.Rat).Add(value, half))
		if prefix == "ap" || m.High == m.Low {
			m.High++
		}
	default: // against the very number
		m.Low = at(value)
		m.High = m.Low + 1
	}
	return m
}

// prefixed takes the comparison off a value.
func prefixed(value string) (prefix, rest string) {
	if len(value) > 2 {
		if _, ok := prefixes[value[:2]]; ok {
			return value[:2], value[2:]
		}
	}
	return "eq", value
}

var prefixes = map[string]store.Compare{
	"eq": store.Equal, "ne": store.NotEqual, "lt": store.LessThan, "le": store.LessEqual, "gt": store.GreaterThan,
	"ge": store.GreaterEqual, "sa": store.StartsAfter, "eb": store.EndsBefore, "ap": store.Overlaps,
}

func (p Param) number(value string) ([]store.Condition, error) {
	prefix, rest := prefixed(unescape(value))
	d, ok := parseDecimal(rest)
	if !ok {
		return nil, p.noNumber()
	}
	return matches(p.Code, d.match(prefix, nil)), nil
}

func (p Param) noNumber() error {
	return fhir.Errorf(fhir.CodeInvalid, "", "%s must be a number such as 5.4 or 1e3, after a prefix such as gt.", p.Code)
}

// ucum is the system of units that are converted.
const ucum = "http://unitsofmeasure.org"

// quantity reads number, number|system|code and number||code, where the code
// may be the name of the unit as well; number|code is what people write.
func (p Param) quantity(value string) ([]store.Condition, error) {
	parts := split(value, '|')
	prefix, rest := prefixed(unescape(parts[0]))
	d, ok := parseDecimal(rest)
	if !ok {
		return nil, p.noNumber()
	}
	system, code := "", ""
	switch len(parts) {
	case 1:
	case 2:
		code = unescape(parts[1])
	case 3:
		system, code = unescape(parts[1]), unescape(parts[2])
	default:
		return nil, fhir.Errorf(fhir.CodeInvalid, "", "%s must be number, number|system|code or number||code.", p.Code)
	}
	if system != "" && code == "" {
		return nil, fhir.Errorf(fhir.CodeInvalid, "", "%s needs a code after its system.", p.Code)
	}
	if system == ucum {
		if factor, unit, ok := fhirpath.CanonicalUnit(code); ok {
			return matches(p.Code+converted+unit, d.match(prefix, factor)), nil
		}
	}
	return matches(inUnit(p.Code, code, system), d.match(prefix, nil)), nil
}

// inUnit names the view of a quantity parameter that holds one unit alone.
func inUnit(param, code, system string) string {
	if code == "" {
		return param
	}
	return param + ":" + TokenValue(code, system)
}

// number keeps a decimal as the range of its place.
func (ix *indexer) number(p *Param, n fhir.Node) {
	if n.Kind() == fhir.Object {
		ix.quantity(p, n)
	} else if at, ok := placeOfText(n.String()); ok {
		ix.add(store.Entry{Param: p.Code, Kind: store.Date, Low: at, High: at + 1})
	}
}

// quantity keeps the value of a Quantity, Money or Range: once without a unit,
// once for each way to name the unit, and once in the unit that it can be
// converted to.
func (ix *indexer) quantity(p *Param, n fhir.Node) {
	low, high, unit := n, n, n
	comparator := n.Get("comparator").String()
	if !n.Get("value").Exists() {
		low, high = n.Get("low"), n.Get("high")
		if unit = low; !low.Get("value").Exists() {
			unit = high
		}
	}
	from, to := low.Get("value").String(), high.Get("value").String()
	bounds := func(at func(string) (int64, bool)) (e store.Entry, ok bool) {
		e = store.Entry{Kind: store.Date, Low: math.MinInt64, High: math.MaxInt64}
		if from != "" {
			if e.Low, ok = at(from); !ok {
				return e, false
			}
		}
		if to != "" {
			if e.High, ok = at(to); !ok {
				return e, false
			}
			e.High++
		}
		switch comparator {
		case "<":
			e.Low, e.High = math.MinInt64, e.High-1
		case "<=":
			e.Low = math.MinInt64
		case ">":
			e.Low, e.High = e.High, math.MaxInt64
		case ">=":
			e.High = math.MaxInt64
		}
		return e, (from != "" || to != "") && e.Low < e.High
	}
	e, ok := bounds(placeOfText)
	if !ok {
		return
	}
	e.Param = p.Code
	ix.add(e)
	code, system := unit.Get("code").String(), unit.Get("system").String()
	if currency := unit.Get("currency").String(); currency != "" {
		code, system = currency, "urn:iso:std:iso:4217"
	}
	units := []string{inUnit(p.Code, code, "")}
	if system != "" {
		units = append(units, inUnit(p.Code, code, system))
	}
	if text := unit.Get("unit").String(); text != code {
		units = append(units, inUnit(p.Code, text, ""))
	}
	for _, param := range units {
		if param != p.Code && len(param) <= maxUnit {
			e.Param = param
			ix.add(e)
		}
	}
	if system != ucum {
		return
	}
	factor, canonical, ok := fhirpath.CanonicalUnit(code)
	if !ok {
		return
	}
	e, ok = bounds(func(s string) (int64, bool) {
		d, ok := parseDecimal(s)
		if !ok {
			return 0, false
		}
		return placeOf(d.value.Mul(d.value, factor)), true
	})
	if ok {
		e.Param = p.Code + converted + canonical
		ix.add(e)
	}
}

const (
	maxUnit   = 200  // bytes of a parameter with a unit
	converted = ":=" // before the unit to which quantities are converted
)
