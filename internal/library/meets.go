package library

import (
	"slices"
	"strings"

	"github.com/jumpa-hie/jumpa/internal/store"
)

// meets tells whether a resource meets a clause.
func (b *book) meets(c store.Clause) bool {
	return c.Not != slices.ContainsFunc(c.Any, func(m store.Match) bool { return b.matches(c.Param, m) })
}

func (b *book) matches(param string, m store.Match) bool {
	switch param {
	case "_id":
		return b.item.ID == m.Value
	case "_lastUpdated":
		at := b.shelf.library.made.UnixMicro()
		return within(store.Entry{Low: at, High: at + 1}, m)
	}
	any := false
	for _, e := range b.values() {
		if e.Param != param {
			continue
		}
		any = true
		if m.Compare != store.Missing && e.Kind == m.Kind && compares(e, m) {
			return true
		}
	}
	return m.Compare == store.Missing && any == (m.Value == "false")
}

func compares(e store.Entry, m store.Match) bool {
	switch {
	case e.Kind == store.Date:
		return within(e, m)
	case m.Compare == store.HasPrefix:
		return strings.HasPrefix(e.Value, m.Value)
	case m.Compare == store.Contains:
		return strings.Contains(e.Value, m.Value)
	}
	return e.Value == m.Value
}

func within(e store.Entry, m store.Match) bool {
	inside := e.Low >= m.Low && e.High <= m.High
	switch m.Compare {
	case store.NotEqual:
		return !inside
	case store.LessThan:
		return e.Low < m.Low
	case store.LessEqual:
		return e.Low < m.Low || inside
	case store.GreaterThan:
		return e.High > m.High
	case store.GreaterEqual:
		return e.High > m.High || inside
	case store.StartsAfter:
		return e.Low >= m.High
	case store.EndsBefore:
		return e.High <= m.Low
	case store.Overlaps:
		return e.Low < m.High && e.High > m.Low
	}
	return inside
}
