package validate

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/r4"
)

// profile is a StructureDefinition that constrains a type. Its view is made
// when somebody first asks for it.
type profile struct {
	url, version, typ, base string
	doc                     *fhir.Document

	once    sync.Once
	view    *view // nil when err says why
	err     error
	skipped []Skipped
	usage   *usage // of an extension
}

// registry are the profiles that are known at one time, by their URL, and by
// URL|version. It does not change.
type registry struct{ byURL map[string]*profile }

// lookup gives a profile by its canonical URL. A URL without a version is that
// of the version which was added last.
func (k *registry) lookup(url string) *profile {
	p := k.byURL[url]
	if bare, _, versioned := strings.Cut(url, "|"); p == nil && versioned {
		p = k.byURL[bare+"|"] // one without a version serves for all
	}
	if p != nil {
		p.once.Do(func() { k.build(p, 0) })
	}
	return p
}

// versions gives the known versions of a profile, for messages.
func (k *registry) versions(url string) (list []string) {
	for canonical, p := range k.byURL {
		if p.url == unversioned(url) && p.version != "" && canonical != p.url {
			list = append(list, p.version)
		}
	}
	slices.Sort(list)
	return list
}

// with gives a registry with more profiles.
func (k *registry) with(more []*profile) *registry {
	all := make(map[string]*profile, len(k.byURL)+2*len(more))
	for canonical, p := range k.byURL { // views may depend on what is added
		fresh := all[p.url+"|"+p.version]
		if fresh == nil {
			fresh = &profile{url: p.url, version: p.version, typ: p.typ, base: p.base, doc: p.doc}
			all[p.url+"|"+p.version] = fresh
		}
		all[canonical] = fresh
	}
	for _, p := range more {
		all[p.url], all[p.url+"|"+p.version] = p, p
	}
	return &registry{all}
}

var errNoBase = errors.New("the profile that it is made from is not known")

func unversioned(url string) string {
	url, _, _ = strings.Cut(url, "|")
	return url
}

// AddProfile makes a profile known: a StructureDefinition that constrains a
// resource or a data type of R4, with a differential or a snapshot. Extensions
// are profiles of Extension. The profile that it is made from may be added
// later. One of the same url and version is replaced; among several versions
// the one that was added last serves those who name none.
func (v *Validator) AddProfile(doc *fhir.Document) error {
	if err := v.AddProfiles(doc); err != nil {
		return err
	}
	p := v.profiles.Load().lookup(doc.Get("url").String())
	if p.err == nil || errors.Is(p.err, errNoBase) {
		return nil
	}
	v.remove(p)
	e := fhir.Errorf(fhir.CodeInvalid, "StructureDefinition", "The profile %s cannot be used: %v.", p.url, p.err)
	e.Err = p.err
	return e
}

// AddProfiles makes many profiles known at once. What is wrong inside of one is
// found when it is first used.
func (v *Validator) AddProfiles(docs ...*fhir.Document) error {
	more := make([]*profile, 0, len(docs))
	for _, doc := range docs {
		p, err := readProfile(doc)
		if err != nil {
			return err
		}
		more = append(more, p)
	}
	v.adding.Lock()
	defer v.adding.Unlock()
	v.profiles.Store(v.profiles.Load().with(more)) // the old ones serve those who are using them
	return nil
}

// remove forgets a profile that cannot be used.
func (v *Validator) remove(p *profile) {
	v.adding.Lock()
	defer v.adding.Unlock()
	rest := v.profiles.Load().with(nil)
	maps.DeleteFunc(rest.byURL, func(_ string, q *profile) bool { return q.url == p.url && q.version == p.version })
	v.profiles.Store(rest)
}

func readProfile(doc *fhir.Document) (*profile, error) {
	p := &profile{
		url: doc.Get("url").String(), version: doc.Get("version").String(),
		typ: doc.Get("type").String(), base: doc.Get("baseDefinition").String(), doc: doc,
	}
	_, known := r4.LookupType(p.typ)
	switch {
	case doc.Type() != "StructureDefinition":
		return nil, fhir.Errorf(fhir.CodeInvalid, doc.Type(), "A profile is a StructureDefinition.")
	case !absolute(p.url) || strings.Contains(p.url, "|"):
		return nil, fhir.Errorf(fhir.CodeRequired, "StructureDefinition.url", "A profile needs a url.")
	case !known:
		return nil, fhir.Errorf(fhir.CodeNotSupported, "StructureDefinition.type", "The type of the profile is none of R4.")
	case doc.Get("derivation").String() != "constraint":
		return nil, fhir.Errorf(fhir.CodeNotSupported, "StructureDefinition.derivation", "Only a StructureDefinition with derivation constraint is a profile.")
	}
	return p, nil
}

// lookup gives a profile by its URL.
func (r *run) lookup(url string) *profile { return r.known.lookup(url) }

func (v *Validator) skippedOfProfiles() (list []Skipped) {
	known := v.profiles.Load()
	for url := range known.byURL {
		p := known.lookup(url)
		list = append(list, p.skipped...)
		if p.err != nil {
			list = append(list, Skipped{"*", p.url, p.err.Error()})
		}
	}
	return list
}

// Bounds of profiles, which may come from outside.
const (
	maxBases    = 16    // on which a profile stands, one on the other
	maxElements = 5_000 // of a profile and its bases
)

// build makes the view of a profile, from those of its bases.
func (k *registry) build(p *profile, depth int) {
	if p.view, p.err = k.viewOf(p, depth); p.err != nil {
		p.view = nil
	}
	if p.typ == "Extension" {
		b := builder{p: p}
		p.usage = b.usageOf(p.doc)
	}
}

func (k *registry) viewOf(p *profile, depth int) (*view, error) {
	if depth > maxBases {
		return nil, errors.New("its bases go round in a circle, or are too many")
	}
	t, _ := r4.LookupType(p.typ)
	root := &view{name: p.typ, el: t.Root, typ: p.typ}
	elements := p.doc.Get("differential").Get("element")
	count := 0
	switch base := k.byURL[p.base]; {
	case base != nil:
		from, err := k.viewOf(base, depth+1)
		switch {
		case err != nil:
			return nil, err
		case !r4.Is(p.typ, base.typ):
			return nil, errors.New("its type is not that of the profile which it is made from")
		}
		root, count = from, from.size()
	case strings.HasPrefix(p.base, structureURL) && r4.Is(p.typ, lastStep(unversioned(p.base))):
	case p.doc.Root().Get("snapshot").Exists():
		elements = fhir.Node{}
	default:
		return nil, errNoBase
	}
	if elements.Len() == 0 {
		elements = p.doc.Root().Get("snapshot").Get("element")
	}
	b := builder{p: p, root: root, last: map[string]*view{}}
	if depth > 0 {
		b.p = &profile{url: p.url, typ: p.typ} // what is skipped is said by the base itself
	}
	for e := range elements.Items() {
		if count++; count > maxElements {
			return nil, fmt.Errorf("it has more than %d elements", maxElements)
		}
		if err := b.element(e); err != nil {
			return nil, fmt.Errorf("element %s: %w", e.Get("path").String(), err)
		}
	}
	return root, nil
}
