package exchange

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/audit"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/store"
)

const (
	maxKept = 1000             // matches of one part of a cursor
	keptFor = 30 * time.Minute // a cursor, after it was last used
)

// Place is where a page of a result begins: in a part of a cursor, which the
// exchange keeps for a result that has more than one page.
type Place struct {
	Cursor       string
	Part, Offset int
}

// Pages leads from a page to others; nil where there is none, or where nobody
// knows.
type Pages struct{ First, Previous, Next, Last *Place }

// Kind is what a result that is handed out page by page was asked by.
type Kind string

// Kinds of results.
const (
	OfSearch     Kind = "search"
	OfHistory    Kind = "history"
	OfEverything Kind = "everything"
)

// Asked says what a result was asked by: Path is what is searched, or whose
// history or everything it is.
type Asked struct {
	Kind   Kind
	Path   string
	Values url.Values
}

// kept is one part of a cursor: what a result held at its first moment.
type kept struct {
	Kind   Kind   `json:"kind"`
	Path   string `json:"path"`
	Values string `json:"values"` // parameters, encoded
	Count  int    `json:"count"`  // of a page
	Total  int    `json:"total"`  // -1 when nobody knows
	Before int    `json:"before"` // matches of the part before
	Keys   string `json:"keys"`
	Next   string `json:"next,omitempty"`  // where the next part goes on, "" for none
	Since  int64  `json:"since,omitempty"` // of a history: Unix microseconds
	Moment int64  `json:"moment"`          // when the first page was made: Unix microseconds
	Until  int64  `json:"until,omitempty"` // of AuditEvents, which come in one part without keys: the newest

	keys []store.Key
	more bool // AuditEvents behind this page
}

// partOf gives how many matches a part holds: whole pages.
func partOf(count int) int { return max(count, maxKept/max(count, 1)*count) }

// pack writes keys one a line, without a type that stands above and without a
// first version.
func pack(keys []store.Key) string {
	var b strings.Builder
	typ := ""
	for _, k := range keys {
		if k.Type != typ {
			typ = k.Type
			b.WriteString(typ + "/")
		}
		b.WriteString(k.ID)
		if k.Version != 1 {
			b.WriteString("|" + strconv.FormatInt(k.Version, 10))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func unpack(text string) (keys []store.Key) {
	typ := ""
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		if head, rest, ok := strings.Cut(line, "/"); ok {
			typ, line = head, rest
		}
		id, version, changed := strings.Cut(line, "|")
		k := store.Key{Type: typ, ID: id, Version: 1}
		if changed {
			k.Version, _ = strconv.ParseInt(version, 10, 64) // as pack wrote it
		}
		if id != "" {
			keys = append(keys, k)
		}
	}
	return keys
}

func (k *kept) encode() []byte {
	k.Keys = pack(k.keys)
	return fhir.Marshal(k)
}

func decodeKept(body []byte) (k *kept, err error) {
	k = new(kept)
	err = json.Unmarshal(body, k)
	k.keys = unpack(k.Keys)
	return k, err
}

// last gives where the last page of so many matches begins.
func (k *kept) last(matches int) int { return max(0, matches-1) / max(k.Count, 1) * k.Count }

// pages gives what a page at a place leads to.
func (k *kept) pages(at Place) Pages {
	to := func(part, offset int) *Place { return &Place{at.Cursor, part, offset} }
	matches := len(k.keys)
	if k.Until > 0 {
		if matches = k.Total; matches < 0 {
			matches = at.Offset
		}
		if k.more {
			matches = max(matches, at.Offset+k.Count+1)
		}
	}
	p := Pages{First: to(0, 0)}
	switch {
	case at.Offset > 0:
		p.Previous = to(at.Part, max(0, at.Offset-k.Count))
	case at.Part > 0:
		p.Previous = to(at.Part-1, k.last(k.Before))
	}
	switch {
	case at.Offset+k.Count < matches:
		p.Next = to(at.Part, at.Offset+k.Count)
	case k.Next != "":
		p.Next = to(at.Part+1, 0)
	}
	if k.Next == "" && (k.Until == 0 || k.Total >= 0) {
		p.Last = to(at.Part, k.last(matches))
	}
	return p
}

// handOut writes the audit record of a first page and, when there are more, its
// cursor.
func (s *Service) handOut(ctx context.Context, p auth.Principal, out SearchResult, k *kept, e audit.Entry) (SearchResult, error) {
	if k == nil {
		return out, s.trail(ctx, p, e)
	}
	at := Place{Cursor: newCursor()}
	now := s.Clock()
	k.Moment = now.UnixMicro()
	c := store.Cursor{ID: at.Cursor, Body: k.encode(), Expires: now.Add(keptFor)}
	out.Pages, out.Total = k.pages(at), k.Total
	return out, s.Store.Update(ctx, func(tx store.Tx) error {
		if err := tx.PutCursor(c); err != nil {
			return err
		}
		return audit.Write(tx, s.Clock(), p, e)
	})
}

func newCursor() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func errGone() error {
	return fhir.Errorf(fhir.CodeNotFound, "", "This page link is no longer valid: pages are kept for %d minutes. Search again.", int(keptFor.Minutes())).
		WithStatus(http.StatusGone)
}

// Page gives a page of a result behind the first one: the records that it held
// at its first moment, in the versions of that moment, as far as the caller may
// see them now and they are not deleted.
func (s *Service) Page(ctx context.Context, p auth.Principal, at Place) (Asked, SearchResult, error) {
	k, c, err := s.part(ctx, p, at)
	if err != nil {
		return Asked{}, SearchResult{}, err
	}
	values, err := url.ParseQuery(k.Values)
	if err != nil {
		return Asked{}, SearchResult{}, err
	}
	asked := Asked{k.Kind, k.Path, values}
	out, entry, err := pagers[k.Kind](s, ctx, p, asked, k, at)
	if err != nil {
		return asked, SearchResult{}, s.refused(ctx, p, entry.Action, entry.Operation, entry.Target, err)
	}
	out.Total, out.Pages = k.Total, k.pages(at)
	return asked, out, s.Store.Update(ctx, func(tx store.Tx) error {
		if now := s.Clock(); c.Expires.Sub(now) < keptFor/2 {
			c.Expires = now.Add(keptFor)
			if err := tx.PutCursor(c); err != nil {
				return err
			}
		}
		return audit.Write(tx, s.Clock(), p, entry)
	})
}

// pagers give a page of each kind of result and the access that it is.
var pagers = map[Kind]func(s *Service, ctx context.Context, p auth.Principal, asked Asked, k *kept, at Place) (SearchResult, audit.Entry, error){
	OfSearch: (*Service).searchPage, OfHistory: (*Service).historyPage, OfEverything: (*Service).everythingPage,
}

// slice gives the keys of one page.
func (k *kept) slice(at Place) []store.Key {
	from := min(at.Offset, len(k.keys))
	return k.keys[from:min(from+k.Count, len(k.keys))]
}

// part gives a part of a cursor, and makes it when it is the next one of those
// that are there.
func (s *Service) part(ctx context.Context, p auth.Principal, at Place) (k *kept, c store.Cursor, err error) {
	var fresh *kept
	read := func(r store.Reader) error {
		c, err = r.Cursor(at.Cursor, at.Part)
		switch {
		case errors.Is(err, store.ErrNotFound) && at.Part > 0:
			fresh, err = s.further(r, p, at)
			return err
		case errors.Is(err, store.ErrNotFound) || err == nil && c.Expires.Before(s.Clock()):
			return errGone()
		case err != nil:
			return err
		}
		k, err = decodeKept(c.Body)
		return err
	}
	if err := s.survey(ctx, read); err != nil || k != nil {
		return k, c, err
	}
	// Another request may be making the same part. The first one to write it
	// wins, and all show its matches.
	err = s.Store.Update(ctx, func(tx store.Tx) error {
		if err := tx.PutCursor(store.Cursor{ID: at.Cursor, Part: at.Part, Body: fresh.encode(), Expires: s.Clock().Add(keptFor)}); err != nil {
			return err
		}
		return read(tx)
	})
	return k, c, err
}

// further lists the matches behind the part before.
func (s *Service) further(r store.Reader, p auth.Principal, at Place) (*kept, error) {
	c, err := r.Cursor(at.Cursor, at.Part-1)
	if errors.Is(err, store.ErrNotFound) || err == nil && c.Expires.Before(s.Clock()) {
		return nil, errGone()
	}
	if err != nil {
		return nil, err
	}
	k, err := decodeKept(c.Body)
	if err != nil {
		return nil, err
	}
	k.Before = len(k.keys)
	if k.Kind == OfHistory {
		return k, s.furtherVersions(r, p, k)
	}
	return k, s.furtherMatches(r, p, k, at)
}

// furtherVersions lists the versions behind a part of a history.
func (s *Service) furtherVersions(r store.Reader, p auth.Principal, k *kept) error {
	q := HistoryQuery{}
	q.Type, q.ID = typeAndID(k.Path)
	grant, err := q.allowed(p)
	if err != nil {
		return err
	}
	q.Organization, q.Since, q.Count, q.After = grant.Organization, time.UnixMicro(k.Since), partOf(k.Count), k.Next
	l, err := r.ListHistory(q.HistoryQuery)
	k.keys, k.Next = l.Keys, l.Last
	return err
}

// furtherMatches lists the matches behind a part of a search. Where the order
// is not that of creation, records may have moved: one that was shown is not
// shown again, and those that have moved ahead of the place come first.
func (s *Service) furtherMatches(r store.Reader, p auth.Principal, k *kept, at Place) error {
	values, err := url.ParseQuery(k.Values)
	if err != nil {
		return err
	}
	req, err := s.ParseSearch(k.Path, values)
	if err != nil {
		return err
	}
	q, err := allowed(p, req)
	if err != nil {
		return err
	}
	q.Offset, q.Count = 0, partOf(k.Count)
	k.keys = nil
	var seen map[store.Key]bool
	list := func(q store.Query) (store.Listing, error) {
		l, err := r.List(q)
		k.keys = append(k.keys, slices.DeleteFunc(l.Keys, func(key store.Key) bool { return seen[store.Key{Type: key.Type, ID: key.ID}] })...)
		return l, err
	}
	if len(q.Sort) > 0 {
		if seen, err = shownBefore(r, at); err != nil {
			return err
		}
		moved := q
		moved.After, moved.Before = k.Next, true
		moved.Where = append(slices.Clone(q.Where), store.Where(store.Clause{Param: "_lastUpdated", Any: []store.Match{{
			Kind: store.Date, Compare: store.GreaterEqual, Low: k.Moment - slack.Microseconds(), High: k.Moment - slack.Microseconds(),
		}}})...)
		if _, err := list(moved); err != nil {
			return err
		}
	}
	for more := len(k.keys) == 0; more; more = len(k.keys) == 0 && k.Next != "" {
		q.After = k.Next
		l, err := list(q)
		if err != nil {
			return err
		}
		k.Next = l.Last
	}
	return nil
}

// slack is how much earlier a record may say that it was written than it could
// be seen.
const slack = time.Minute

// shownBefore gives the records of the parts before.
func shownBefore(r store.Reader, at Place) (map[store.Key]bool, error) {
	seen := make(map[store.Key]bool)
	for part := range at.Part {
		c, err := r.Cursor(at.Cursor, part)
		if err != nil {
			return nil, err
		}
		k, err := decodeKept(c.Body)
		if err != nil {
			return nil, err
		}
		for _, key := range k.keys {
			seen[store.Key{Type: key.Type, ID: key.ID}] = true
		}
	}
	return seen, nil
}

// asListed reads records in the versions that the keys name, in their order.
// What is deleted now, or what the caller may not see now, is left out. It
// takes one question for each organisation by which the policy restricts
// types, and one more when records have changed.
func (s *Service) asListed(r store.Reader, p auth.Principal, action auth.Action, keys []store.Key) ([]store.Resource, error) {
	names := make([]store.Key, len(keys))
	for i, k := range keys {
		names[i] = store.Key{Type: k.Type, ID: k.ID}
	}
	now, err := visibleOf(r, p, action, names)
	if err != nil {
		return nil, err
	}
	current := make(map[store.Key]store.Resource, len(now))
	for _, res := range now {
		current[store.Key{Type: res.Type, ID: res.ID}] = res
	}
	var changed []store.Key
	for _, k := range keys {
		if res, ok := current[store.Key{Type: k.Type, ID: k.ID}]; ok && !res.Deleted() && res.Version != k.Version {
			changed = append(changed, k)
		}
	}
	before, err := visibleOf(r, p, action, changed)
	if err != nil {
		return nil, err
	}
	past := make(map[store.Key]store.Resource, len(before))
	for _, res := range before {
		past[store.Key{Type: res.Type, ID: res.ID, Version: res.Version}] = res
	}
	var out []store.Resource
	for _, k := range keys {
		res, ok := current[store.Key{Type: k.Type, ID: k.ID}]
		if !ok || res.Deleted() {
			continue
		}
		if res.Version != k.Version {
			if res, ok = past[k]; !ok {
				continue
			}
		}
		out = append(out, res)
	}
	return out, nil
}

// visibleOf reads those records that the caller may see.
func visibleOf(r store.Reader, p auth.Principal, action auth.Action, keys []store.Key) (out []store.Resource, err error) {
	by := make(map[string][]store.Key)
	var organizations []string
	for _, k := range keys {
		grant, err := auth.Allow(p, action, k.Type)
		if err != nil {
			continue // left out
		}
		if by[grant.Organization] == nil {
			organizations = append(organizations, grant.Organization)
		}
		by[grant.Organization] = append(by[grant.Organization], k)
	}
	for _, organization := range organizations {
		found, err := r.Resources(by[organization], organization)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}
