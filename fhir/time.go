package fhir

import (
	"regexp"
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

var dateForm = regexp.MustCompile(`^\d{4}(-\d{2}(-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})?)?)?)?$`)

// ParseDate reads a FHIR date, dateTime or instant, or a search value, and
// gives the half-open range [low, high) that it stands for: a year, a month, a
// day, a minute, a second or a millisecond. A value without a zone is in
// Malaysia time.
func ParseDate(s string) (low, high time.Time, err error) {
	bad := Errorf(CodeValue, "", "This is not a FHIR date or time.")
	if !dateForm.MatchString(s) {
		return low, high, bad
	}
	for _, f := range dateForms {
		if low, err = time.ParseInLocation(f.layout, s, Malaysia); err == nil {
			return low, f.next(low), nil
		}
	}
	return low, high, bad
}

var dateForms = []struct {
	layout string
	next   func(time.Time) time.Time
}{
	{"2006", func(t time.Time) time.Time { return t.AddDate(1, 0, 0) }},
	{"2006-01", func(t time.Time) time.Time { return t.AddDate(0, 1, 0) }},
	{"2006-01-02", func(t time.Time) time.Time { return t.AddDate(0, 0, 1) }},
	{"2006-01-02T15:04", func(t time.Time) time.Time { return t.Add(time.Minute) }},
	{"2006-01-02T15:04Z07:00", func(t time.Time) time.Time { return t.Add(time.Minute) }},
	{"2006-01-02T15:04:05", nextSecond},
	{"2006-01-02T15:04:05Z07:00", nextSecond},
}

// nextSecond ends the range of a time with seconds: one second later, or one
// millisecond later when it was written with a fraction.
func nextSecond(t time.Time) time.Time {
	if t.Nanosecond() != 0 {
		return t.Add(time.Millisecond)
	}
	return t.Add(time.Second)
}

// Time gives the instant at which a date node begins; ok is false when the
// node is missing or not a date.
func (n Node) Time() (t time.Time, ok bool) {
	low, _, err := ParseDate(n.String())
	return low, err == nil
}
