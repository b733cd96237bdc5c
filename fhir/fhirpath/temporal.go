package fhirpath

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// precision of a date or time, by the parts that are written.
type precision uint8

const (
	ofYear precision = iota + 1
	ofMonth
	ofDay
	ofHour
	ofMinute
	ofSecond // with or without a fraction: the specification takes them as one
)

// moment is a date, dateTime or time, as far as it is known.
type moment struct {
	at     time.Time // unknown parts are 1 or 0; the wall clock, in UTC
	until  precision
	zoned  bool
	offset time.Duration // of the zone, when zoned
	clock  bool          // a time of day
	millis int           // digits of the fraction
}

// parseMoment reads a date, a dateTime (a T may end it) or, when clock is set,
// a time.
func parseMoment(s string, clock bool) (m moment, ok bool) {
	y, mo, d := 1, 1, 1
	m.clock = clock
	rest := s
	part := func(n, low, high int) (v int, ok bool) {
		if len(rest) < n || !digits(rest[:n]) {
			return 0, false
		}
		v, _ = strconv.Atoi(rest[:n])
		rest = rest[n:]
		return v, v >= low && v <= high
	}
	next := func(c byte) bool {
		if rest != "" && rest[0] == c {
			rest = rest[1:]
			return true
		}
		return false
	}
	if !clock {
		if y, ok = part(4, 1, 9999); !ok {
			return m, false
		}
		m.until = ofYear
		if next('-') {
			if mo, ok = part(2, 1, 12); !ok {
				return m, false
			}
			m.until = ofMonth
			if next('-') {
				if d, ok = part(2, 1, daysIn(y, mo)); !ok {
					return m, false
				}
				m.until = ofDay
			}
		}
		switch {
		case rest == "" || rest == "T":
			m.at = time.Date(y, time.Month(mo), d, 0, 0, 0, 0, time.UTC)
			return m, true
		case m.until != ofDay || !next('T'):
			return m, false
		}
	}
	var h, mi, sec, nanos int
	if h, ok = part(2, 0, 23); !ok {
		return m, false
	}
	m.until = ofHour
	if next(':') {
		if mi, ok = part(2, 0, 59); !ok {
			return m, false
		}
		m.until = ofMinute
		if next(':') {
			if sec, ok = part(2, 0, 60); !ok {
				return m, false
			}
			m.until = ofSecond
			if next('.') {
				n := 0
				for n < len(rest) && rest[n] >= '0' && rest[n] <= '9' {
					n++
				}
				if n == 0 || n > 32 {
					return m, false
				}
				m.millis = n
				nanos, _ = strconv.Atoi((rest[:n] + "000000000")[:9])
				rest = rest[n:]
			}
		}
	}
	if rest != "" && !clock {
		m.zoned = true
		switch sign := rest[0]; {
		case next('Z'):
		case next('+') || next('-'):
			zh, ok1 := part(2, 0, 14)
			colon := next(':')
			zm, ok2 := part(2, 0, 59)
			if !ok1 || !ok2 || !colon {
				return m, false
			}
			m.offset = time.Duration(zh)*time.Hour + time.Duration(zm)*time.Minute
			if sign == '-' {
				m.offset = -m.offset
			}
		}
	}
	if rest != "" {
		return m, false
	}
	m.at = time.Date(y, time.Month(mo), d, h, mi, sec, nanos, time.UTC)
	return m, true
}

func daysIn(year, month int) int {
	return time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// span gives the half-open time that a moment stands for.
func (m moment) span() (low, high time.Time) {
	low = m.at.Add(-m.offset)
	switch m.until {
	case ofYear:
		high = m.at.AddDate(1, 0, 0)
	case ofMonth:
		high = m.at.AddDate(0, 1, 0)
	case ofDay:
		high = m.at.AddDate(0, 0, 1)
	case ofHour:
		high = m.at.Add(time.Hour)
	case ofMinute:
		high = m.at.Add(time.Minute)
	default:
		high = m.at.Add(time.Nanosecond)
	}
	return low, high.Add(-m.offset)
}

// The zones of the world: a moment without one may be this far from UTC.
const (
	farthestEast = 14 * time.Hour
	farthestWest = 12 * time.Hour
)

// compare orders two moments; known is false when their precision does not
// tell, or when only one has a zone and that may matter.
func (m moment) compare(o moment) (order int, known bool) {
	low, high := m.span()
	oLow, oHigh := o.span()
	one := m.zoned != o.zoned && !m.clock
	if one && m.zoned {
		oLow, oHigh = oLow.Add(-farthestEast), oHigh.Add(farthestWest)
	} else if one {
		low, high = low.Add(-farthestEast), high.Add(farthestWest)
	}
	switch {
	case !high.After(oLow):
		return -1, true
	case !oHigh.After(low):
		return 1, true
	case !one && m.until == o.until && low.Equal(oLow):
		return 0, true
	}
	return 0, false
}

// String writes a moment as it is read, without the T of a bare dateTime.
func (m moment) String() string {
	var b strings.Builder
	if !m.clock {
		b.WriteString(m.at.Format([]string{ofYear: "2006", ofMonth: "2006-01", ofDay: time.DateOnly}[min(m.until, ofDay)]))
	}
	if m.until < ofHour {
		return b.String()
	}
	if !m.clock {
		b.WriteByte('T')
	}
	b.WriteString(m.at.Format([]string{ofHour: "15", ofMinute: "15:04", ofSecond: time.TimeOnly}[m.until]))
	if m.millis > 0 {
		f := strconv.Itoa(m.at.Nanosecond() + 1e9)[1:]
		if m.millis <= 9 {
			f = f[:m.millis]
		}
		b.WriteString("." + f)
	}
	switch {
	case m.zoned && m.offset == 0:
		b.WriteByte('Z')
	case m.zoned:
		zone := time.FixedZone("", int(m.offset/time.Second))
		b.WriteString(m.at.In(zone).Format("-07:00"))
	}
	return b.String()
}

// calendarUnit are the units of the calendar: how fine they are, and the unit
// of UCUM beside each. UCUM's 'a' and 'mo' are so many seconds, no units of
// the calendar.
var calendarUnit = map[string]struct {
	until  precision
	ucum   string
	millis int64 // for conversions to a coarser unit: a month has 30 days, a year 365
}{
	"year": {ofYear, "a", 365 * dayMillis}, "month": {ofMonth, "mo", 30 * dayMillis}, "week": {ofDay, "wk", 7 * dayMillis}, "day": {ofDay, "d", dayMillis},
	"hour": {ofHour, "h", 3_600_000}, "minute": {ofMinute, "min", 60_000}, "second": {ofSecond, "s", 1000}, "millisecond": {ofSecond, "ms", 1},
}

const dayMillis = 86_400_000

// definiteUnit are the units of UCUM that can be added to a date.
var definiteUnit = map[string]string{"wk": "week", "d": "day", "h": "hour", "min": "minute", "s": "second", "ms": "millisecond"}

// add moves a moment by n units. An amount that is finer than the moment is
// cut to the moment's own unit: the year 2014 and 25 months are 2016. ok is
// false when there is no such moment.
func (m moment) add(n decimal, unit string) (moved moment, ok bool) {
	u := calendarUnit[unit]
	if m.clock && u.until < ofHour {
		return m, false
	}
	var nanos int64
	if u.until == ofSecond && m.until == ofSecond { // the only units of which a fraction counts
		if unit == "millisecond" {
			n.scale += 3
		}
		fraction, ok := n.add(n.truncate(0).neg())
		if !ok {
			return m, false
		}
		fraction.scale -= 9
		nanos = fraction.rescale(0).truncate(0).c
		if nanos != 0 {
			m.millis = max(m.millis, 3)
		}
		u.millis = 1000
	}
	whole := n.truncate(0)
	amount := whole.c
	if whole.b != nil || math.Abs(float64(amount)*float64(u.millis)) > 10_000*366*dayMillis {
		return m, false
	}
	switch days := amount * u.millis / dayMillis; min(m.until, u.until) {
	case ofYear:
		if unit == "month" {
			days = amount / 12 * 365
		}
		m.at, ok = addMonths(m.at, days/365*12)
	case ofMonth:
		if unit != "month" {
			amount = days/365*12 + days%365/30
		}
		m.at, ok = addMonths(m.at, amount)
	case ofDay:
		m.at, ok = m.at.AddDate(0, 0, int(days)), true
	default:
		millis := amount * u.millis
		switch m.until {
		case ofHour:
			millis -= millis % 3_600_000
		case ofMinute:
			millis -= millis % 60_000
		}
		m.at = m.at.AddDate(0, 0, int(millis/dayMillis)).Add(time.Duration(millis%dayMillis)*time.Millisecond + time.Duration(nanos))
		ok = true
		if m.clock { // it goes round
			m.at = time.Date(1, 1, 1, m.at.Hour(), m.at.Minute(), m.at.Second(), m.at.Nanosecond(), time.UTC)
		}
	}
	return m, ok && m.at.Year() >= 1 && m.at.Year() <= 9999
}

// addMonths keeps the day, or takes the last one of a shorter month.
func addMonths(t time.Time, n int64) (time.Time, bool) {
	total := int64(t.Year())*12 + int64(t.Month()) - 1 + n
	y, mo := int(total/12), int(total%12)+1
	if y < 1 || y > 9999 {
		return t, false
	}
	return time.Date(y, time.Month(mo), min(t.Day(), daysIn(y, mo)), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC), true
}
