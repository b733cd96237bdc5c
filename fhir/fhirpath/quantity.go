package fhirpath

import (
	"math/big"
	"strconv"
	"strings"
)

// dimension is the exponent of each base unit, in the order of the constants.
type dimension [9]int8

const (
	metre = iota
	second
	gram
	radian
	kelvin
	coulomb
	candela
	month   // of the calendar: not so many seconds
	special // a scale of its own, such as degrees Celsius
)

// unit is what a unit is worth in base units.
type unit struct {
	factor *big.Rat
	dim    dimension
}

type atom struct {
	factor string
	of     string // in terms of base units and earlier atoms
	prefix bool
}

// baseUnits and atoms are the part of UCUM that clinical records use. A unit
// that is not here is only ever equal to itself.
var baseUnits = map[string]int{"m": metre, "s": second, "g": gram, "rad": radian, "K": kelvin, "C": coulomb, "cd": candela}

var atoms = map[string]atom{
	"%": {"1/100", "1", false}, "[ppth]": {"1/1000", "1", false}, "[ppm]": {"1/1000000", "1", false}, "[ppb]": {"1/1000000000", "1", false},
	"[pi]": {"31415926535897932384626433832795/10000000000000000000000000000000", "1", false},
	"10*":  {"10", "1", false}, "10^": {"10", "1", false}, "mol": {"602213670000000000000000", "1", true}, "eq": {"1", "mol", true}, "osm": {"1", "mol", true},
	"sr": {"1", "rad2", true}, "deg": {"2/360", "[pi].rad", false},
	"Hz": {"1", "s-1", true}, "N": {"1", "kg.m/s2", true}, "Pa": {"1", "N/m2", true}, "J": {"1", "N.m", true}, "W": {"1", "J/s", true},
	"A": {"1", "C/s", true}, "V": {"1", "J/C", true}, "F": {"1", "C/V", true}, "Ohm": {"1", "V/A", true}, "S": {"1", "Ohm-1", true},
	"Wb": {"1", "V.s", true}, "T": {"1", "Wb/m2", true}, "H": {"1", "Wb/A", true}, "lm": {"1", "cd.sr", true}, "lx": {"1", "lm/m2", true},
	"Bq": {"1", "s-1", true}, "Gy": {"1", "J/kg", true}, "Sv": {"1", "J/kg", true}, "kat": {"1", "mol/s", true},
	"l": {"1", "dm3", true}, "L": {"1", "dm3", true}, "ar": {"100", "m2", true}, "t": {"1000", "kg", true}, "bar": {"100000", "Pa", true},
	"u": {"16605402/10000000000000000000000000000000", "g", true}, "eV": {"160217733/1000000000000000000000000000", "J", true},
	"min": {"60", "s", false}, "h": {"60", "min", false}, "d": {"24", "h", false}, "wk": {"7", "d", false}, "a": {"36525/100", "d", false},
	"a_j": {"36525/100", "d", false}, "mo": {"36525/1200", "d", false}, "mo_j": {"36525/1200", "d", false},
	"cal": {"4184/1000", "J", true}, "[Cal]": {"4184", "J", false}, "m[H2O]": {"9806650/1000", "Pa", true}, "m[Hg]": {"133322", "Pa", true}, "atm": {"101325", "Pa", false},
	"[iU]": {"1", "1", true}, "[IU]": {"1", "1", true}, "U": {"1/60000000", "mol/s", true},
	"[in_i]": {"254/100", "cm", false}, "[ft_i]": {"12", "[in_i]", false}, "[yd_i]": {"3", "[ft_i]", false}, "[mi_i]": {"5280", "[ft_i]", false},
	"[lb_av]": {"45359237/100000", "g", false}, "[oz_av]": {"1/16", "[lb_av]", false}, "[gr]": {"6479891/100000000", "g", false}, "[stone_av]": {"14", "[lb_av]", false},
	"[gal_us]": {"231", "[in_i]3", false}, "[qt_us]": {"1/4", "[gal_us]", false}, "[pt_us]": {"1/2", "[qt_us]", false}, "[foz_us]": {"1/128", "[gal_us]", false},
	"[tbs_us]": {"1/2", "[foz_us]", false}, "[tsp_us]": {"1/6", "[foz_us]", false}, "[drp]": {"1/20", "ml", false},
	"[mesh_i]": {"1", "[in_i]-1", false}, "[Ch]": {"1/3", "mm", false}, "dyn": {"1/100000", "N", true}, "erg": {"1/10000000", "J", true}, "P": {"1/10", "Pa.s", true},
	"[degR]": {"5/9", "K", false},
}

// ownScale are units on a scale of their own, and units counted by procedure:
// comparable with themselves only.
var ownScale = []string{"Cel", "[degF]", "[pH]", "[arb'U]", "[USP'U]", "B", "Np", "[diop]", "[hp_X]", "[Amb'a'1'U]"}

var prefixes = map[string]string{
	"Y": "1000000000000000000000000", "Z": "1000000000000000000000", "E": "1000000000000000000", "P": "1000000000000000", "T": "1000000000000",
	"G": "1000000000", "M": "1000000", "k": "1000", "h": "100", "da": "10", "d": "1/10", "c": "1/100", "m": "1/1000", "u": "1/1000000", "n": "1/1000000000",
	"p": "1/1000000000000", "f": "1/1000000000000000", "a": "1/1000000000000000000", "z": "1/1000000000000000000000", "y": "1/1000000000000000000000000",
	"Ki": "1024", "Mi": "1048576", "Gi": "1073741824", "Ti": "1099511627776",
}

const maxUnit = 128 // bytes of a unit

// calendarWord gives the calendar unit that a word names, singular or plural.
func calendarWord(s string) (string, bool) {
	one := strings.TrimSuffix(s, "s")
	_, ok := calendarUnit[one]
	return one, ok
}

// unitOf reads a unit of UCUM or, when calendar is set, of the calendar.
func unitOf(text string, calendar bool) (unit, bool) {
	if calendar {
		switch text {
		case "year":
			return unit{big.NewRat(12, 1), dimension{month: 1}}, true
		case "month":
			return unit{big.NewRat(1, 1), dimension{month: 1}}, true
		}
		text = calendarUnit[text].ucum
	}
	if len(text) > maxUnit {
		return unit{}, false
	}
	p := unitParser{rest: text}
	u, ok := p.term(0)
	return u, ok && p.rest == ""
}

// CanonicalUnit gives the base units in which quantities of a UCUM unit can be
// compared with those of others, and what one of the unit is worth in them:
// 1/1000 and "g" for mg. ok is false for what is not known here, and for units on
// a scale of their own such as Cel.
func CanonicalUnit(code string) (factor *big.Rat, base string, ok bool) {
	u, ok := unitOf(code, false)
	if !ok || u.dim[special] != 0 {
		return nil, "", false
	}
	var b strings.Builder
	for i, exponent := range u.dim {
		if exponent != 0 {
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(baseNames[i])
			if exponent != 1 {
				b.WriteString(strconv.Itoa(int(exponent)))
			}
		}
	}
	if b.Len() == 0 {
		return u.factor, "1", true
	}
	return u.factor, b.String(), true
}

// baseNames are the base units in the order of a dimension.
var baseNames = [...]string{metre: "m", second: "s", gram: "g", radian: "rad", kelvin: "K", coulomb: "C", candela: "cd", month: "mo", special: ""}

// unitParser reads the grammar of UCUM: terms of components with exponents.
type unitParser struct {
	rest string
	deep int
}

func (p *unitParser) term(depth int) (unit, bool) {
	result := unit{factor: big.NewRat(1, 1)}
	if depth > 8 || p.rest == "" {
		return result, false
	}
	sign := 1
	if p.rest[0] == '/' {
		sign, p.rest = -1, p.rest[1:]
	}
	for {
		u, ok := p.component(depth)
		if !ok || !result.times(u, sign) {
			return result, false
		}
		switch {
		case strings.HasPrefix(p.rest, "."):
			sign = 1
		case strings.HasPrefix(p.rest, "/"):
			sign = -1
		default:
			return result, true
		}
		p.rest = p.rest[1:]
	}
}

func (p *unitParser) component(depth int) (unit, bool) {
	one := unit{factor: big.NewRat(1, 1)}
	if inner, ok := strings.CutPrefix(p.rest, "("); ok {
		p.rest = inner
		u, ok := p.term(depth + 1)
		if !ok || !strings.HasPrefix(p.rest, ")") {
			return one, false
		}
		p.rest = p.rest[1:]
		return u, true
	}
	if p.annotation() {
		return one, true
	}
	end := 0
	for bracket := false; end < len(p.rest); end++ {
		c := p.rest[end]
		if c == '[' || c == ']' {
			bracket = c == '['
		} else if !bracket && strings.IndexByte("./(){}", c) >= 0 {
			break
		}
	}
	text := p.rest[:end]
	p.rest = p.rest[end:]
	defer p.annotation()
	if n, err := strconv.ParseUint(text, 10, 32); err == nil {
		one.factor.SetUint64(n)
		return one, n != 0
	}
	name, exponent := text, 1
	if text != "10*" && text != "10^" {
		i := len(text)
		for i > 0 && text[i-1] >= '0' && text[i-1] <= '9' {
			i--
		}
		if i < len(text) && i > 0 {
			digitsAt := i
			if text[i-1] == '-' || text[i-1] == '+' {
				i--
			}
			n, err := strconv.Atoi(text[digitsAt:])
			if err != nil || n > 30 {
				return one, false
			}
			if text[i] == '-' {
				n = -n
			}
			name, exponent = text[:i], n
		}
	}
	u, ok := p.atom(name)
	if !ok {
		return one, false
	}
	sign := 1
	if exponent < 0 {
		sign, exponent = -1, -exponent
	}
	for range exponent {
		if !one.times(u, sign) {
			return one, false
		}
	}
	return one, true
}

// annotation skips {…}, which is worth 1.
func (p *unitParser) annotation() bool {
	if !strings.HasPrefix(p.rest, "{") {
		return false
	}
	end := strings.IndexByte(p.rest, '}')
	if end < 0 {
		return false
	}
	p.rest = p.rest[end+1:]
	return true
}

func (p *unitParser) atom(name string) (unit, bool) {
	if u, ok := p.plain(name, false); ok {
		return u, true
	}
	for _, n := range [2]int{2, 1} {
		if len(name) <= n {
			continue
		}
		if factor, ok := prefixes[name[:n]]; ok {
			if u, ok := p.plain(name[n:], true); ok {
				f, _ := new(big.Rat).SetString(factor)
				u.factor = f.Mul(f, u.factor)
				return u, true
			}
		}
	}
	return unit{}, false
}

func (p *unitParser) plain(name string, prefixed bool) (unit, bool) {
	if i, ok := baseUnits[name]; ok {
		u := unit{factor: big.NewRat(1, 1)}
		u.dim[i] = 1
		return u, true
	}
	for i, s := range ownScale {
		if name == s {
			return unit{big.NewRat(1, 1), dimension{special: int8(i + 1)}}, true
		}
	}
	a, ok := atoms[name]
	if !ok || prefixed && !a.prefix || p.deep > 12 {
		return unit{}, false
	}
	inner := unitParser{rest: a.of, deep: p.deep + 1}
	u, ok := inner.term(0)
	if !ok {
		return unit{}, false
	}
	f, _ := new(big.Rat).SetString(a.factor)
	u.factor = f.Mul(f, u.factor)
	return u, true
}

// times multiplies by u, or divides when sign is -1. A scale of its own cannot
// be multiplied.
func (u *unit) times(o unit, sign int) bool {
	if sign < 0 {
		u.factor.Quo(u.factor, o.factor)
	} else {
		u.factor.Mul(u.factor, o.factor)
	}
	if (u.dim[special] != 0 || o.dim[special] != 0) && u.dim != (dimension{}) {
		return false
	}
	for i, e := range o.dim {
		n := int(u.dim[i]) + sign*int(e)
		if n > 60 || n < -60 {
			return false
		}
		u.dim[i] = int8(n)
	}
	return u.factor.Num().BitLen() < 1024 && u.factor.Denom().BitLen() < 1024
}

// quantityText writes a quantity as it is read: 4 days, 4 'mg'.
func quantityText(v *Value) string {
	if v.flag {
		if v.num.cmp(integer(1)) == 0 {
			return v.num.String() + " " + v.text
		}
		return v.num.String() + " " + v.text + "s"
	}
	return v.num.String() + " '" + v.text + "'"
}

// measure gives two quantities in the same base unit; ok is false when they
// are of different kinds. With loose, a year is 'a' and a month 'mo'.
func measure(a, b *Value, loose bool) (x, y *big.Rat, ua, ub unit, ok bool) {
	if a.text == b.text && a.flag == b.flag {
		one := unit{factor: big.NewRat(1, 1)}
		return a.num.rat(), b.num.rat(), one, one, true
	}
	ua, ok1 := unitOf(a.text, a.flag)
	ub, ok2 := unitOf(b.text, b.flag)
	if ok1 && ok2 && loose && ua.dim != ub.dim {
		ua, _ = unitOf(definite(a), false)
		ub, _ = unitOf(definite(b), false)
	}
	if !ok1 || !ok2 || ua.dim != ub.dim {
		return nil, nil, ua, ub, false
	}
	x, y = a.num.rat(), b.num.rat()
	return x.Mul(x, ua.factor), y.Mul(y, ub.factor), ua, ub, true
}

// definite gives the UCUM unit of a quantity.
func definite(v *Value) string {
	if v.flag {
		return calendarUnit[v.text].ucum
	}
	return v.text
}

// units counts the reading of two units, which may be long.
func (m *machine) units(a, b *Value) bool {
	return a.text == b.text || m.step(50*(min(len(a.text), maxUnit)+min(len(b.text), maxUnit)))
}

// compareQuantity orders two quantities; ok is false when they cannot be compared.
func (m *machine) compareQuantity(a, b *Value) (int, bool) {
	if a.text == b.text && a.flag == b.flag {
		return a.num.cmp(b.num), true
	}
	if !m.units(a, b) {
		return 0, false
	}
	x, y, _, _, ok := measure(a, b, false)
	if !ok {
		return 0, false
	}
	return x.Cmp(y), true
}

// equivalentQuantity compares to the precision of the less precise quantity.
func equivalentQuantity(a, b *Value) bool {
	x, y, ua, ub, ok := measure(a, b, true)
	if !ok {
		return false
	}
	stepA := new(big.Rat).Mul(ua.factor, new(big.Rat).SetFrac(tenTo[0], power10(a.num.trim().scale)))
	stepB := new(big.Rat).Mul(ub.factor, new(big.Rat).SetFrac(tenTo[0], power10(b.num.trim().scale)))
	step := stepA
	if stepB.Cmp(stepA) > 0 {
		step = stepB
	}
	return roundRat(x.Quo(x, step)).Cmp(roundRat(y.Quo(y, step))) == 0
}

// roundRat rounds to a whole number, a half away from zero.
func roundRat(r *big.Rat) *big.Int {
	n := new(big.Int).Lsh(r.Num(), 1)
	sign := n.Sign()
	n.Abs(n).Add(n, r.Denom())
	n.Quo(n, new(big.Int).Lsh(r.Denom(), 1))
	if sign < 0 {
		n.Neg(n)
	}
	return n
}

// addQuantity gives a+b in the finer of the two units.
func addQuantity(a, b *Value) (v Value, ok bool) {
	v = *a
	if a.text == b.text && a.flag == b.flag {
		v.num, ok = a.num.add(b.num)
		return v, ok
	}
	x, y, ua, ub, ok := measure(a, b, false)
	if !ok {
		return v, false
	}
	finer := ua
	if ub.factor.Cmp(ua.factor) < 0 {
		finer, v = ub, *b
	}
	v.num, ok = fromRat(x.Add(x, y).Quo(x, finer.factor)).fit()
	return v, ok
}

// mulQuantity gives a times b, or a divided by b when sign is -1, in the
// combined unit.
func mulQuantity(a, b *Value, sign int) (v Value, ok bool) {
	if sign < 0 {
		v.num, ok = a.num.quo(b.num)
	} else {
		v.num, ok = a.num.mul(b.num)
	}
	if !ok {
		return v, false
	}
	v.kind = kQuantity
	if b.text == "1" {
		v.text, v.flag = a.text, a.flag
		return v, true
	}
	if a.text == "1" && sign > 0 {
		v.text, v.flag = b.text, b.flag
		return v, true
	}
	left, right := definite(a), definite(b)
	ua, ok1 := unitOf(left, false)
	ub, ok2 := unitOf(right, false)
	if !ok1 || !ok2 || !ua.times(ub, sign) {
		return v, false
	}
	if ua.dim == (dimension{}) { // the units cancel out
		n := v.num.rat()
		v.num, ok = fromRat(n.Mul(n, ua.factor)).fit()
		v.text = "1"
		return v, ok
	}
	op := "."
	if sign < 0 {
		op = "/"
		if strings.ContainsAny(right, "./") {
			right = "(" + right + ")"
		}
	}
	if v.text = left + op + right; left == "1" {
		v.text = op + right
	}
	return v, len(v.text) <= maxUnit
}
