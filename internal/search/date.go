package search

import (
	"math"
	"strings"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// date reads a date with a prefix. About a date is within a tenth of the time
// that lies between it and now.
func (ps Parser) date(p Param) matcher {
	return func(value string) ([]store.Condition, error) {
		prefix, rest := prefixed(unescape(value))
		rest = strings.ReplaceAll(rest, " ", "+") // a + that nobody escaped in a URL
		from, to, err := fhir.ParseDate(rest)
		if err != nil {
			return nil, fhir.Errorf(fhir.CodeInvalid, "", "%s must be a date such as 2026-11-23 or 2026-11-23T09:00:00+08:00.", p.Code)
		}
		if prefix == "ap" {
			now := ps.now()
			gap := max(from.Sub(now), now.Sub(to), 0) / 10
			from, to = from.Add(-gap), to.Add(gap)
		}
		found := matches(p.Code, store.Match{Kind: store.Date, Compare: prefixes[prefix], Low: from.UnixMicro(), High: to.UnixMicro()})
		found[0].Clause.Single = p.single
		return found, nil
	}
}

// date keeps the range of a date, of a Period, or of the outer limits of a
// Timing.
func (ix *indexer) date(p *Param, n fhir.Node) {
	low, high, ok := span(n)
	if n.Kind() == fhir.Object && (n.Get("event").Exists() || n.Get("repeat").Exists()) {
		low, high, ok = outer(n)
	}
	if ok && low < high {
		ix.add(store.Entry{Param: p.Code, Kind: store.Date, Low: low, High: high})
	}
}

// span gives the range of a date or Period. What a Period leaves out is open.
func span(n fhir.Node) (low, high int64, ok bool) {
	low, high = math.MinInt64, math.MaxInt64
	start, end := n, n
	if n.Kind() == fhir.Object {
		start, end = n.Get("start"), n.Get("end")
		if !start.Exists() && !end.Exists() {
			return low, high, false
		}
	}
	var t time.Time
	var err error
	if start.Exists() {
		if t, _, err = fhir.ParseDate(start.String()); err != nil {
			return low, high, false
		}
		low = t.UnixMicro()
	}
	if end.Exists() {
		if _, t, err = fhir.ParseDate(end.String()); err != nil {
			return low, high, false
		}
		high = t.UnixMicro()
	}
	return low, high, true
}

// outer gives the outer limits of a Timing: from the first to the last of its
// events and bounds.
func outer(n fhir.Node) (low, high int64, ok bool) {
	low, high = math.MaxInt64, math.MinInt64
	take := func(n fhir.Node) {
		if from, to, has := span(n); has {
			low, high, ok = min(low, from), max(high, to), true
		}
	}
	for event := range n.Get("event").Items() {
		take(event)
	}
	if bounds := n.Get("repeat").Get("boundsPeriod"); bounds.Exists() {
		take(bounds)
	}
	return low, high, ok
}
