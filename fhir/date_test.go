package fhir

import (
	"strings"
	"testing"
	"time"
)

func utc(t *testing.T, s string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestParseDate(t *testing.T) {
	for _, c := range []struct{ name, in, low, high string }{
		// Without a zone, Malaysia's time is meant.
		{"a year", "2026", "2025-12-31T16:00:00Z", "2026-12-31T16:00:00Z"},
		{"a leap year", "2024", "2023-12-31T16:00:00Z", "2024-12-31T16:00:00Z"},
		{"the first year", "0001", "0000-12-31T16:00:00Z", "0001-12-31T16:00:00Z"},
		{"the last year", "9999", "9998-12-31T16:00:00Z", "9999-12-31T16:00:00Z"},
		{"a month", "2026-11", "2026-10-31T16:00:00Z", "2026-11-30T16:00:00Z"},
		{"December", "2026-12", "2026-11-30T16:00:00Z", "2026-12-31T16:00:00Z"},
		{"February", "2026-02", "2026-01-31T16:00:00Z", "2026-02-28T16:00:00Z"},
		{"February of a leap year", "2028-02", "2028-01-31T16:00:00Z", "2028-02-29T16:00:00Z"},
		{"a day", "2026-11-23", "2026-11-22T16:00:00Z", "2026-11-23T16:00:00Z"},
		{"a leap day", "2028-02-29", "2028-02-28T16:00:00Z", "2028-02-29T16:00:00Z"},
		{"a leap day of a century", "2000-02-29", "2000-02-28T16:00:00Z", "2000-02-29T16:00:00Z"},
		{"a minute", "2026-11-23T09:30", "2026-11-23T01:30:00Z", "2026-11-23T01:31:00Z"},
		{"a minute with Z", "2026-11-23T09:30Z", "2026-11-23T09:30:00Z", "2026-11-23T09:31:00Z"},
		{"a minute with a zone", "2026-11-23T09:30+08:00", "2026-11-23T01:30:00Z", "2026-11-23T01:31:00Z"},
		{"a minute with a zone west", "2026-11-23T09:30-05:00", "2026-11-23T14:30:00Z", "2026-11-23T14:31:00Z"},
		{"a second", "2026-11-23T09:30:15", "2026-11-23T01:30:15Z", "2026-11-23T01:30:16Z"},
		{"a second with Z", "2026-11-23T09:30:15Z", "2026-11-23T09:30:15Z", "2026-11-23T09:30:16Z"},
		{"a second with a zone", "2026-11-23T09:30:15+08:00", "2026-11-23T01:30:15Z", "2026-11-23T01:30:16Z"},
		{"half an hour of zone", "2026-11-23T09:30:15+05:30", "2026-11-23T04:00:15Z", "2026-11-23T04:00:16Z"},
		{"the farthest zone east", "2026-11-23T09:30:15+14:00", "2026-11-22T19:30:15Z", "2026-11-22T19:30:16Z"},
		{"the farthest zone west", "2026-11-23T09:30:15-12:00", "2026-11-23T21:30:15Z", "2026-11-23T21:30:16Z"},
		{"no zone at all", "2026-11-23T09:30:15-00:00", "2026-11-23T09:30:15Z", "2026-11-23T09:30:16Z"},
		{"a tenth", "2026-11-23T09:30:15.5Z", "2026-11-23T09:30:15.5Z", "2026-11-23T09:30:15.501Z"},
		{"a millisecond", "2026-11-23T09:30:15.123+08:00", "2026-11-23T01:30:15.123Z", "2026-11-23T01:30:15.124Z"},
		{"a millisecond without zone", "2026-11-23T09:30:15.123", "2026-11-23T01:30:15.123Z", "2026-11-23T01:30:15.124Z"},
		{"seven digits", "2026-11-23T09:30:15.1234567Z", "2026-11-23T09:30:15.1234567Z", "2026-11-23T09:30:15.1244567Z"},
		{"nine digits", "2026-11-23T09:30:15.123456789Z", "2026-11-23T09:30:15.123456789Z", "2026-11-23T09:30:15.124456789Z"},
		{"midnight", "2026-11-23T00:00:00+08:00", "2026-11-22T16:00:00Z", "2026-11-22T16:00:01Z"},
		{"the last second of a day", "2026-11-23T23:59:59+08:00", "2026-11-23T15:59:59Z", "2026-11-23T16:00:00Z"},
		// The second 60 is the one after 59.
		{"a leap second", "2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z", "2017-01-01T00:00:01Z"},
		{"a leap second in Malaysia", "2017-01-01T07:59:60+08:00", "2017-01-01T00:00:00Z", "2017-01-01T00:00:01Z"},
		{"a leap second without zone", "2017-01-01T07:59:60", "2017-01-01T00:00:00Z", "2017-01-01T00:00:01Z"},
		{"a part of a leap second", "2016-12-31T23:59:60.5Z", "2017-01-01T00:00:00.5Z", "2017-01-01T00:00:00.501Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			low, high, err := ParseDate(c.in)
			if err != nil {
				t.Fatal(err)
			}
			if !low.Equal(utc(t, c.low)) || !high.Equal(utc(t, c.high)) {
				t.Errorf("%s is [%s, %s), want [%s, %s)", c.in, low.UTC().Format(time.RFC3339Nano), high.UTC().Format(time.RFC3339Nano), c.low, c.high)
			}
		})
	}
}

func TestWhatIsNoDateIsRefused(t *testing.T) {
	for _, in := range []string{
		"", " ", "x", "today", "null", "26", "202", "20266", "2026-", "2026-1", "2026-00", "2026-13", "2026-11-", "2026-11-1", "2026-11-00", "2026-11-31",
		"2026-02-29", "2100-02-29", "2026-02-30", "0000", "0000-01-01", "-2026", "+2026", "2026/11/23", "23-11-2026", "20261123", "2026-W47", "2026-327",
		"2026-11-23T", "2026-11-23T09", "2026-11-23T9:00", "2026-11-23T0900", "2026-11-23T09:0", "2026-11-23T09:00:", "2026-11-23T09:00:0",
		"2026-11-23T24:00:00Z", "2026-11-23T25:00", "2026-11-23T09:60", "2026-11-23T09:00:61Z", "2026-11-23T09:00:99Z",
		"2026-11-23T09:00:00.", "2026-11-23T09:00:00.Z", "2026-11-23T09:00:00,5Z", "2026-11-23T09:00:00.1234567890Z",
		"2026-11-23 09:00:00", "2026-11-23t09:00:00z", "2026-11-23T09:00:00z", "2026-11-23T09:00:00 Z", "2026-11-23T09:00:00 08:00",
		"2026-11-23T09:00:00+8", "2026-11-23T09:00:00+08", "2026-11-23T09:00:00+0800", "2026-11-23T09:00:00+08:0", "2026-11-23T09:00:00+08:60",
		"2026-11-23T09:00:00+14:01", "2026-11-23T09:00:00-14:30", "2026-11-23T09:00:00+15:00", "2026-11-23T09:00:00+24:00", "2026-11-23T09:00:00+99:00",
		"2026-11-23T09:00:00ZZ", "2026-11-23T09:00:00Z+08:00", "2026Z", "2026-11Z", "2026-11-23Z", "2026-11-23+08:00",
		" 2026", "2026 ", "2026\n", "2026-11-23\n", "\u0662\u0660\u0662\u0666", "２０２６", "2026-11-23T09:00:00Z" + strings.Repeat("0", 100),
	} {
		low, high, err := ParseDate(in)
		if err == nil {
			t.Errorf("%q is taken for [%v, %v)", in, low, high)
			continue
		}
		if CodeOf(err) != CodeValue {
			t.Errorf("%q: code %s", in, CodeOf(err))
		}
	}
}

func TestFormats(t *testing.T) {
	for _, c := range []struct {
		at                time.Time
		instant, dateTime string
	}{
		{time.Date(2026, 11, 23, 1, 2, 3, 456789e3, time.UTC), "2026-11-23T09:02:03.456+08:00", "2026-11-23T09:02:03+08:00"},
		{time.Date(2026, 12, 31, 16, 0, 0, 0, time.UTC), "2027-01-01T00:00:00.000+08:00", "2027-01-01T00:00:00+08:00"},
		{time.Date(2026, 6, 1, 12, 0, 0, 0, time.FixedZone("", -5*3600)), "2026-06-02T01:00:00.000+08:00", "2026-06-02T01:00:00+08:00"},
	} {
		if got := FormatInstant(c.at); got != c.instant {
			t.Errorf("instant %s, want %s", got, c.instant)
		}
		if got := FormatDateTime(c.at); got != c.dateTime {
			t.Errorf("dateTime %s, want %s", got, c.dateTime)
		}
		low, _, err := ParseDate(c.instant)
		if err != nil || !low.Equal(c.at.Truncate(time.Millisecond)) {
			t.Errorf("%s reads %v, %v", c.instant, low, err)
		}
	}
}

func TestTimeOfANode(t *testing.T) {
	d := mustParse(t, basic(`"a":"2026-11-23T09:00:00+08:00","b":"2026","c":2026,"d":"soon","e":null,"f":["2026-11"],"g":{},"h":"\u0032026"`))
	for path, want := range map[string]string{
		"a": "2026-11-23T01:00:00Z",
		"b": "2025-12-31T16:00:00Z",
		"f": "2026-10-31T16:00:00Z",
		"h": "2025-12-31T16:00:00Z",
		"c": "", // a number is no date
		"d": "", "e": "", "g": "", "missing": "",
	} {
		got, ok := d.Get(path).Time()
		if ok != (want != "") || ok && !got.Equal(utc(t, want)) {
			t.Errorf("%s: %v, %v; want %s", path, got, ok, want)
		}
	}
}

func FuzzParseDate(f *testing.F) {
	for _, in := range []string{
		"2026", "2026-11", "2026-11-23", "2026-11-23T09:30", "2026-11-23T09:30Z", "2026-11-23T09:30:15+08:00", "2026-11-23T09:30:15.123456789-05:00",
		"2016-12-31T23:59:60Z", "9999-12-31T23:59:60.999999999-14:00", "0001-01-01T00:00:00+14:00", "0000", "2026-02-29", "2026-11-23T24:00:00Z", "", "x",
	} {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		low, high, err := ParseDate(in)
		if err != nil {
			if CodeOf(err) != CodeValue || !low.IsZero() || !high.IsZero() {
				t.Fatalf("%q: %v, %v, %v", in, low, high, err)
			}
			return
		}
		if !low.Before(high) {
			t.Fatalf("%q is [%v, %v)", in, low, high)
		}
		if high.Sub(low) > 366*24*time.Hour {
			t.Fatalf("%q lasts %v", in, high.Sub(low))
		}
		// A prefix of a date names a longer time around it.
		if len(in) >= 10 {
			yearLow, yearHigh, err := ParseDate(in[:4])
			if err != nil {
				t.Fatalf("%q, but its year: %v", in, err)
			}
			if day := 24 * time.Hour; low.Before(yearLow.Add(-day)) || high.After(yearHigh.Add(day)) {
				t.Fatalf("%q is outside its year", in)
			}
		}
	})
}
