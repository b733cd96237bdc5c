package fhirpath

import (
	"math"
	"math/big"
	"math/bits"
	"strconv"
	"strings"
)

// decimal is an exact decimal number, c or b times 10^-scale. It keeps the
// digits it was written with: 1.00 has scale 2.
type decimal struct {
	c     int64
	b     *big.Int // set when the coefficient needs more than 63 bits
	scale int32
}

// Numbers are kept to maxDigits digits. What is larger does not exist, what is
// finer is rounded.
const (
	maxDigits = 100
	divScale  = 8 // decimals of a quotient, as the specification has it
)

var (
	ten       = big.NewInt(10)
	tenTo     [maxDigits*2 + 1]*big.Int
	smallTens [19]int64
)

func init() {
	tenTo[0] = big.NewInt(1)
	for i := 1; i < len(tenTo); i++ {
		tenTo[i] = new(big.Int).Mul(tenTo[i-1], ten)
	}
	smallTens[0] = 1
	for i := 1; i < len(smallTens); i++ {
		smallTens[i] = smallTens[i-1] * 10
	}
}

func integer(i int64) decimal { return decimal{c: i} }

// parseDecimal reads an optional sign, digits, an optional fraction and, where
// JSON allows it, an exponent.
func parseDecimal(s string) (d decimal, ok bool) {
	mantissa, exponent := s, 0
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		e, err := strconv.Atoi(s[i+1:])
		if err != nil || e > maxDigits || e < -maxDigits {
			return d, false
		}
		mantissa, exponent = s[:i], e
	}
	negative := strings.HasPrefix(mantissa, "-")
	if negative || strings.HasPrefix(mantissa, "+") {
		mantissa = mantissa[1:]
	}
	whole, fraction, dot := strings.Cut(mantissa, ".")
	if whole == "" || dot && fraction == "" || len(mantissa) > maxDigits || !digits(whole) || !digits(fraction) {
		return d, false
	}
	d.scale = int32(len(fraction))
	if len(whole)+len(fraction) <= 18 {
		for _, part := range [2]string{whole, fraction} {
			for i := range len(part) {
				d.c = d.c*10 + int64(part[i]-'0')
			}
		}
		if negative {
			d.c = -d.c
		}
	} else {
		b, _ := new(big.Int).SetString(whole+fraction, 10)
		if negative {
			b.Neg(b)
		}
		d = fromBig(b, d.scale)
	}
	if exponent != 0 {
		scale := int(d.scale) - exponent
		if scale < 0 {
			d = fromBig(new(big.Int).Mul(d.big(), tenTo[-scale]), 0)
		} else {
			d.scale = int32(scale)
		}
	}
	return d.fit()
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func fromBig(b *big.Int, scale int32) decimal {
	if b.IsInt64() {
		return decimal{c: b.Int64(), scale: scale}
	}
	return decimal{b: b, scale: scale}
}

func (d decimal) big() *big.Int {
	if d.b != nil {
		return d.b
	}
	return big.NewInt(d.c)
}

func (d decimal) sign() int {
	switch {
	case d.b != nil:
		return d.b.Sign()
	case d.c < 0:
		return -1
	case d.c > 0:
		return 1
	}
	return 0
}

// fit brings a number back into the bounds; ok is false when it is too large.
func (d decimal) fit() (decimal, bool) {
	if d.b == nil && d.scale <= maxDigits {
		return d, true
	}
	if d.scale > maxDigits {
		d = d.round(maxDigits)
	}
	if d.b == nil {
		return d, true
	}
	if over := int32(len(d.b.Text(10)) - maxDigits); over > 0 {
		if over > d.scale {
			return decimal{}, false
		}
		d = d.round(d.scale - over)
	}
	return d, true
}

func (d decimal) neg() decimal {
	if d.b != nil || d.c == math.MinInt64 {
		return fromBig(new(big.Int).Neg(d.big()), d.scale)
	}
	d.c = -d.c
	return d
}

// rescale gives the same number with more decimals.
func (d decimal) rescale(scale int32) decimal {
	more := scale - d.scale
	if more <= 0 {
		return d
	}
	if d.b == nil && more < int32(len(smallTens)) {
		hi, lo := bits.Mul64(uint64(max(d.c, -d.c)), uint64(smallTens[more]))
		if d.c != math.MinInt64 && hi == 0 && lo <= math.MaxInt64 {
			c := int64(lo)
			if d.c < 0 {
				c = -c
			}
			return decimal{c: c, scale: scale}
		}
	}
	return fromBig(new(big.Int).Mul(d.big(), power10(more)), scale)
}

func power10(n int32) *big.Int {
	if int(n) < len(tenTo) {
		return tenTo[n]
	}
	return new(big.Int).Exp(ten, big.NewInt(int64(n)), nil)
}

// round gives the number with at most scale decimals; a half goes away from zero.
func (d decimal) round(scale int32) decimal {
	if d.scale <= scale {
		return d
	}
	unit := power10(d.scale - scale)
	q, r := new(big.Int).QuoRem(d.big(), unit, new(big.Int))
	if r.Abs(r).Lsh(r, 1).Cmp(unit) >= 0 {
		q.Add(q, big.NewInt(int64(d.sign())))
	}
	return fromBig(q, scale)
}

// truncate cuts the decimals off; away is added when any were lost.
func (d decimal) truncate(away int64) decimal {
	if d.scale == 0 {
		return d
	}
	q, r := new(big.Int).QuoRem(d.big(), power10(d.scale), new(big.Int))
	if r.Sign() != 0 && away != 0 && int64(r.Sign()) == away {
		q.Add(q, big.NewInt(away))
	}
	return fromBig(q, 0)
}

// trim drops trailing zeros of the fraction.
func (d decimal) trim() decimal {
	if d.b == nil {
		for d.scale > 0 && d.c%10 == 0 {
			d.c /= 10
			d.scale--
		}
		return d
	}
	b := new(big.Int).Set(d.b)
	q, r := new(big.Int), new(big.Int)
	for d.scale > 0 {
		if q.QuoRem(b, ten, r); r.Sign() != 0 {
			break
		}
		b, q = q, b
		d.scale--
	}
	return fromBig(b, d.scale)
}

func (d decimal) cmp(o decimal) int {
	scale := max(d.scale, o.scale)
	d, o = d.rescale(scale), o.rescale(scale)
	if d.b == nil && o.b == nil {
		switch {
		case d.c < o.c:
			return -1
		case d.c > o.c:
			return 1
		}
		return 0
	}
	return d.big().Cmp(o.big())
}

func (d decimal) add(o decimal) (decimal, bool) {
	scale := max(d.scale, o.scale)
	d, o = d.rescale(scale), o.rescale(scale)
	if d.b == nil && o.b == nil {
		if sum := d.c + o.c; (sum > d.c) == (o.c > 0) {
			return decimal{c: sum, scale: scale}, true
		}
	}
	return fromBig(new(big.Int).Add(d.big(), o.big()), scale).fit()
}

func (d decimal) mul(o decimal) (decimal, bool) {
	return fromBig(new(big.Int).Mul(d.big(), o.big()), d.scale+o.scale).fit()
}

// quo divides to eight decimals; ok is false for a division by zero.
func (d decimal) quo(o decimal) (decimal, bool) {
	if o.sign() == 0 {
		return decimal{}, false
	}
	return fromRat(new(big.Rat).Quo(d.rat(), o.rat())).fit()
}

// divMod gives the whole quotient, cut towards zero, and the rest.
func (d decimal) divMod(o decimal) (div, mod decimal, ok bool) {
	if o.sign() == 0 {
		return div, mod, false
	}
	scale := max(d.scale, o.scale)
	q, r := new(big.Int).QuoRem(d.rescale(scale).big(), o.rescale(scale).big(), new(big.Int))
	return fromBig(q, 0), fromBig(r, scale), true
}

func (d decimal) rat() *big.Rat { return new(big.Rat).SetFrac(d.big(), power10(d.scale)) }

// fromRat gives a fraction as a decimal: exact when that takes at most 28
// decimals, else rounded to those of a division.
func fromRat(r *big.Rat) decimal {
	scale := int32(divScale)
	if n, exact := r.FloatPrec(); exact && n <= 28 && n > int(scale) {
		scale = int32(n)
	}
	num := new(big.Int).Mul(r.Num(), power10(scale+1))
	num.Quo(num, r.Denom())
	return fromBig(num, scale+1).round(scale).trim()
}

// fromFloat gives a float as a decimal of at most eight decimals.
func fromFloat(f float64) (decimal, bool) {
	if math.IsNaN(f) || math.IsInf(f, 0) || math.Abs(f) > 1e60 {
		return decimal{}, false
	}
	r := new(big.Rat).SetFloat64(f)
	num := new(big.Int).Mul(r.Num(), tenTo[divScale+1])
	num.Quo(num, r.Denom())
	return fromBig(num, divScale+1).round(divScale).trim().fit()
}

func (d decimal) float() float64 {
	f, _ := d.rat().Float64()
	return f
}

// sqrt gives the root to eight decimals; ok is false for a negative number.
func (d decimal) sqrt() (decimal, bool) {
	if d.sign() < 0 {
		return decimal{}, false
	}
	const guard = divScale + 4
	scale := max(d.scale, 0)
	b := new(big.Int).Mul(d.big(), power10(2*guard))
	if scale%2 != 0 {
		b.Mul(b, ten)
		scale++
	}
	return fromBig(b.Sqrt(b), scale/2+guard).round(divScale).trim().fit()
}

// pow raises to a power: exactly for a small whole exponent, else as a float.
func (d decimal) pow(e decimal) (decimal, bool) {
	if e = e.trim(); e.scale == 0 && e.b == nil && e.c >= 0 && e.c <= 400 {
		result := integer(1)
		for range e.c {
			var ok bool
			if result, ok = result.mul(d); !ok {
				return decimal{}, false
			}
		}
		return result, true
	}
	if d.sign() < 0 && e.scale != 0 {
		return decimal{}, false
	}
	return fromFloat(math.Pow(d.float(), e.float()))
}

func (d decimal) String() string {
	var s string
	if d.b != nil {
		s = d.b.String()
	} else {
		s = strconv.FormatInt(d.c, 10)
	}
	if d.scale == 0 {
		return s
	}
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	if missing := int(d.scale) + 1 - len(s); missing > 0 {
		s = strings.Repeat("0", missing) + s
	}
	dot := len(s) - int(d.scale)
	return sign + s[:dot] + "." + s[dot:]
}

// equivalent compares two numbers to the precision of the less precise one;
// trailing zeros are no precision.
func (d decimal) equivalent(o decimal) bool {
	d, o = d.trim(), o.trim()
	scale := min(d.scale, o.scale)
	return d.round(scale).cmp(o.round(scale)) == 0
}

// integral tells whether the number is within FHIRPath's integers.
func (d decimal) integral() bool {
	return d.scale == 0 && d.b == nil && d.c >= math.MinInt32 && d.c <= math.MaxInt32
}
