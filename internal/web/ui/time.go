package ui

import (
	"fmt"
	"time"
)

// Malaysia is the one time zone of the pages; it has no summer time.
var Malaysia = time.FixedZone("MYT", 8*60*60)

// parts of the day, by the hour at which they begin: languages cut the day
// differently. Each names a text "clock.…".
var partsOfDay = map[Lang][]struct {
	from int
	key  Key
}{
	Malay:   {{0, "clock.morning"}, {12, "clock.noon"}, {14, "clock.afternoon"}, {19, "clock.night"}},
	English: {{0, "clock.morning"}, {12, "clock.afternoon"}},
	Chinese: {{0, "clock.dawn"}, {6, "clock.morning"}, {12, "clock.noon"}, {13, "clock.afternoon"}, {18, "clock.night"}},
	Tamil:   {{0, "clock.dawn"}, {5, "clock.morning"}, {12, "clock.noon"}, {16, "clock.afternoon"}, {19, "clock.night"}},
}

// must renders a text whose key and places this file knows.
func (c *Catalogue) must(l Lang, key Key, pairs ...any) string {
	s, err := c.Say(l, key, pairs...)
	if err != nil {
		panic("ui: " + err.Error())
	}
	return s
}

// Clock is the time of day in Malaysia, such as "10:30 pagi".
func (c *Catalogue) Clock(l Lang, t time.Time) string {
	t = t.In(Malaysia)
	var key Key
	for _, p := range partsOfDay[l] {
		if t.Hour() >= p.from {
			key = p.key
		}
	}
	hour := t.Hour() % 12
	if hour == 0 {
		hour = 12
	}
	return c.must(l, key, "time", fmt.Sprintf("%d:%02d", hour, t.Minute()))
}

// Hours is a span within one day, such as "10:00 pagi hingga 10:30 pagi".
func (c *Catalogue) Hours(l Lang, from, to time.Time) string {
	if to.IsZero() || !to.After(from) {
		return c.Clock(l, from)
	}
	return c.must(l, "clock.span", "from", c.Clock(l, from), "to", c.Clock(l, to))
}

// Day is the day in Malaysia in words, with "today" and "tomorrow" as seen
// from now.
func (c *Catalogue) Day(l Lang, t, now time.Time) string {
	t = t.In(Malaysia)
	date := c.must(l, "date.full",
		"weekday", c.must(l, Key(fmt.Sprintf("weekday.%d", int(t.Weekday())))),
		"day", t.Day(),
		"month", c.must(l, Key(fmt.Sprintf("month.%d", int(t.Month())))),
		"year", t.Year())
	switch DaysBetween(now, t) {
	case 0:
		return c.must(l, "date.today", "date", date)
	case 1:
		return c.must(l, "date.tomorrow", "date", date)
	}
	return date
}

// Moment is day and time of day together.
func (c *Catalogue) Moment(l Lang, t, now time.Time) string {
	if DaysBetween(now, t) == 0 {
		return c.Clock(l, t)
	}
	return c.must(l, "date.moment", "day", c.Day(l, t, now), "time", c.Clock(l, t))
}

// DaysBetween counts the midnights in Malaysia from a to b; negative when b is
// before a.
func DaysBetween(a, b time.Time) int {
	return int(midnight(b).Sub(midnight(a)).Hours() / 24)
}

// DayOf gives the day in Malaysia that t falls on, from midnight to midnight.
func DayOf(t time.Time) (from, to time.Time) {
	from = midnight(t)
	return from, from.AddDate(0, 0, 1)
}

func midnight(t time.Time) time.Time {
	t = t.In(Malaysia)
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, Malaysia)
}
