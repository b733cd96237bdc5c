package exchange

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/audit"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/record"
	"github.com/jumpa-hie/jumpa/internal/search"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// Labels asks for a change of the profiles, tags and security labels of a
// version of a record. By R4 this makes no new version: labels change nothing
// of what the record says, and those of security must reach the versions that
// there are.
type Labels struct {
	Type, ID string
	Version  int64     // 0 for the current one
	Meta     fhir.Node // what to add, or to take away
	Remove   bool
}

// maxLabels bounds the profiles, tags and security labels of a record, each.
const maxLabels = 100

// labelled are the parts of meta that are labels, with how one is known: a
// profile by its address, the others by system and code.
var labelled = []struct {
	name  string
	known func(fhir.Node) string
}{
	{"profile", fhir.Node.String},
	{"tag", coding},
	{"security", coding},
}

// coding names a Coding; "" for what is none.
func coding(n fhir.Node) string {
	system, code := n.Get("system").String(), n.Get("code").String()
	if n.Kind() != fhir.Object || system == "" && code == "" {
		return ""
	}
	return system + "|" + code
}

// Label changes labels and gives the version as it is then.
func (s *Service) Label(ctx context.Context, p auth.Principal, l Labels) (store.Resource, error) {
	operation, about := "meta-add", target(l.Type, l.ID)
	if l.Remove {
		operation = "meta-delete"
	}
	var out store.Resource
	err := s.Store.Update(ctx, func(tx store.Tx) (err error) {
		if out, err = s.label(tx, p, l); err != nil {
			return err
		}
		return s.audit(tx, p, "U", operation, about)
	})
	if err != nil {
		return store.Resource{}, s.refused(ctx, p, "U", operation, about, err)
	}
	return out, nil
}

func (s *Service) label(tx store.Tx, p auth.Principal, l Labels) (store.Resource, error) {
	if _, err := auth.Allow(p, auth.Update, l.Type); err != nil {
		return store.Resource{}, err
	}
	current, err := record.Load(tx, l.Type, l.ID)
	if errors.Is(err, store.ErrNotFound) {
		return store.Resource{}, notFound(l.Type, l.ID)
	}
	if err != nil {
		return store.Resource{}, err
	}
	if err := s.mayChange(tx, p, current); err != nil {
		return store.Resource{}, err
	}
	res, before := current.Resource, current.Doc
	if l.Version != 0 && l.Version != current.Version {
		before = nil
		if res, err = tx.ResourceVersion(l.Type, l.ID, l.Version); errors.Is(err, store.ErrNotFound) {
			return store.Resource{}, notFound(l.Type, l.ID)
		}
		if err != nil {
			return store.Resource{}, err
		}
	}
	if res.Deleted() {
		return res, fhir.Errorf(fhir.CodeDeleted, "", "%s/%s has been deleted.", l.Type, l.ID)
	}
	doc, err := fhir.Parse(res.Body)
	if err != nil {
		return res, err
	}
	changed, err := relabelled(doc, l)
	if err != nil || bytes.Equal(changed.Bytes(), doc.Bytes()) {
		return res, err
	}
	return s.Records.Relabel(tx, res, before, changed)
}

// relabelled gives the document with other labels.
func relabelled(doc *fhir.Document, l Labels) (*fhir.Document, error) {
	var edits []fhir.Edit
	for _, part := range labelled {
		named := make(map[string]fhir.Node)
		var order []string
		for n := range l.Meta.All(part.name) {
			name := part.known(n)
			if name == "" {
				return nil, fhir.Errorf(fhir.CodeInvalid, "Parameters.parameter", "A profile is an address; a tag or security label has a system and a code.")
			}
			if !named[name].Exists() {
				order = append(order, name)
			}
			named[name] = n
		}
		if len(order) == 0 {
			continue
		}
		var kept [][]byte
		for n := range doc.All("meta." + part.name) {
			name := part.known(n)
			if l.Remove && named[name].Exists() {
				continue
			}
			delete(named, name)
			kept = append(kept, n.Raw())
		}
		for _, name := range order {
			if n := named[name]; !l.Remove && n.Exists() {
				kept = append(kept, n.Raw())
			}
		}
		if len(kept) > maxLabels {
			return nil, fhir.Errorf(fhir.CodeTooCostly, "", "A record has at most %d of each: profiles, tags and security labels.", maxLabels)
		}
		if len(kept) == 0 {
			edits = append(edits, fhir.Remove("meta."+part.name))
			continue
		}
		list := append(append([]byte{'['}, bytes.Join(kept, []byte(","))...), ']')
		if !bytes.Equal(list, doc.Get("meta").Get(part.name).Raw()) {
			edits = append(edits, fhir.Set("meta."+part.name, json.RawMessage(list)))
		}
	}
	return doc.With(edits...)
}

// maxValues bounds the labels of a type that LabelsOf gives.
const maxValues = 1000

// LabelsOf gives the profiles, tags and security labels that the records of a
// type carry, or those of all types for "", as a Meta: as far as the caller may
// see the records.
func (s *Service) LabelsOf(ctx context.Context, p auth.Principal, typ string) (meta []byte, err error) {
	types := []string{typ}
	about := typ
	if typ == "" {
		types, about = search.Types(), "*"
	}
	found := make([]map[string]bool, len(labelled))
	lists := make([][]any, len(labelled))
	err = s.survey(ctx, func(r store.Reader) error {
		for i := range labelled {
			found[i], lists[i] = make(map[string]bool), nil
		}
		allowed := 0
		for _, typ := range types {
			grant, denied := auth.Allow(p, auth.Read, typ)
			if err = denied; err != nil {
				continue
			}
			allowed++
			for i, part := range labelled {
				values, err := r.Values(typ, "_"+part.name, grant.Organization, maxValues)
				if err != nil {
					return err
				}
				for _, v := range values {
					if !found[i][v] {
						found[i][v] = true
						lists[i] = append(lists[i], labelOf(part.name, v))
					}
				}
			}
		}
		if allowed == 0 {
			return err
		}
		return nil
	})
	if err != nil {
		return nil, s.refused(ctx, p, "R", "meta", about, err)
	}
	labels := make(map[string]any)
	for i, part := range labelled {
		if len(lists[i]) > 0 {
			labels[part.name] = lists[i]
		}
	}
	return fhir.Marshal(labels), s.trail(ctx, p, audit.Entry{Action: "R", Operation: "meta", Target: about})
}

var unescaped = strings.NewReplacer(`\\`, `\`, `\|`, "|")

// labelOf makes a label of the value of an index entry, "code|system".
func labelOf(part, value string) any {
	at := strings.LastIndex(value, "|")
	code, system := unescaped.Replace(value[:max(at, 0)]), value[at+1:]
	if part == "profile" {
		if system != "" { // the version of a canonical
			return code + "|" + system
		}
		return code
	}
	label := make(map[string]string)
	for name, v := range map[string]string{"system": system, "code": code} {
		if v != "" {
			label[name] = v
		}
	}
	return label
}
