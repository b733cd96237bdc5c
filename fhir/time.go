package fhir

import (
	"regexp"
	"strings"
	"time"
)

// Malaysia is the time zone in which the exchange writes and shows times
// (+08:00 since 1982, no summer time), whatever the zone of the machine.
var Malaysia = time.FixedZone("+08", 8*60*60)

// FormatInstant gives t as a FHIR instant with milliseconds, in Malaysia time.
func FormatInstant(t time.Time) string {
	return t.In(Malaysia).Format("2006-01-02T15:04:05.000-07:00")
}

// FormatDateTime gives t as a FHIR dateTime with seconds, in Malaysia time.
func FormatDateTime(t time.Time) string {
	return t.In(Malaysia).Format("2006-01-02T15:04:05-07:00")
}

var dateForm = regexp.MustCompile(`^\d{4}(-\d{2}(-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-](0\d|1[0-3]):[0-5]\d|[+-]14:00)?)?)?)?$`)

// precision is a form of date: how it is laid out, and how long what it names
// lasts.
type precision struct {
	layout string
	end    func(time.Time) time.Time
}

var (
	ofYear   = precision{"2006", func(t time.Time) time.Time { return t.AddDate(1, 0, 0) }}
	ofMonth  = precision{"2006-01", func(t time.Time) time.Time { return t.AddDate(0, 1, 0) }}
	ofDay    = precision{"2006-01-02", func(t time.Time) time.Time { return t.AddDate(0, 0, 1) }}
	ofMinute = precision{"2006-01-02T15:04", func(t time.Time) time.Time { return t.Add(time.Minute) }}
	ofSecond = precision{"2006-01-02T15:04:05", func(t time.Time) time.Time { return t.Add(time.Second) }}
	ofMilli  = precision{"2006-01-02T15:04:05", func(t time.Time) time.Time { return t.Add(time.Millisecond) }}
)

// precisionOf reads the form off a text that dateForm has matched.
func precisionOf(s string) precision {
	switch {
	case len(s) == 4:
		return ofYear
	case len(s) == 7:
		return ofMonth
	case len(s) == 10:
		return ofDay
	case len(s) == 16 || s[16] != ':':
		return ofMinute
	case len(s) > 19 && s[19] == '.':
		return ofMilli
	}
	return ofSecond
}

// ParseDate reads a FHIR date, dateTime or instant, or a search value, and
// gives the half-open range [low, high) that it stands for: a year, a month, a
// day, a minute, a second or, with a fraction, a millisecond. A value without
// a zone is in Malaysia time. The leap second 60 is the second after 59.
func ParseDate(s string) (low, high time.Time, err error) {
	if len(s) > 40 || !dateForm.MatchString(s) || s[:4] == "0000" {
		return low, high, errDate
	}
	leap := time.Duration(0)
	if len(s) >= 19 && s[17:19] == "60" {
		s, leap = s[:17]+"59"+s[19:], time.Second
	}
	p := precisionOf(s)
	layout := p.layout
	if len(s) > 10 && (s[len(s)-1] == 'Z' || strings.ContainsAny(s[16:], "+-")) {
		layout += "Z07:00"
	}
	if low, err = time.ParseInLocation(layout, s, Malaysia); err != nil {
		return time.Time{}, high, errDate
	}
	low = low.Add(leap)
	return low, p.end(low), nil
}

var errDate = Errorf(CodeValue, "", "This is not a FHIR date or time.")

// Time gives the instant at which a date node begins; ok is false when the
// node is missing or not a date.
func (n Node) Time() (t time.Time, ok bool) {
	if n.Kind() != String {
		return t, false
	}
	low, _, err := ParseDate(n.String())
	return low, err == nil
}
