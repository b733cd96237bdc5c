package validate

import (
	"net/url"
	"slices"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/r4"
)

// reference judges a Reference: its form, the type it leads to, and whether
// its target is there, as far as that can be known.
func (r *run) reference(el *r4.Element, n fhir.Node) {
	ref := n.Get("reference")
	if ref.Kind() != fhir.String {
		return // only an identifier or a display: nothing to follow
	}
	s := ref.String()
	if s == "" {
		return // reported with its form
	}
	r.push("reference", "", -1)
	defer r.pop()
	typ, ok := r.target(s)
	if !ok {
		return
	}
	if typ == "" {
		if said := n.Get("type"); said.Kind() == fhir.String {
			typ = said.String()
		}
	} else if said := n.Get("type"); said.Kind() == fhir.String && said.String() != typ && r4.IsResource(said.String()) {
		r.fail(of("ref-type", "Reference"), fhir.CodeValue, "The reference leads to another type of resource than the type beside it says.")
	}
	r.allowed(el, typ)
}

// target gives the type of resource that a reference leads to, "" when it is
// not known; ok is false when the reference is wrong.
func (r *run) target(s string) (typ string, ok bool) {
	if strings.ContainsAny(s, " \t\r\n") {
		r.fail(of("ref-form", "Reference"), fhir.CodeValue, "A reference holds no spaces.")
		return "", false
	}
	if id, local := strings.CutPrefix(s, "#"); local {
		return r.local(id)
	}
	if found := r.entry(s); found.Exists() {
		return found.Get("resourceType").String(), true
	}
	if strings.HasPrefix(s, "urn:") {
		if why := badURI("uri", s); why != "" {
			r.fail(of("ref-form", "Reference"), fhir.CodeValue, "The reference is no good URN: %s.", why)
			return "", false
		}
		if r.bundle.Exists() {
			r.warn(of("ref-bundle", "Bundle"), fhir.CodeNotFound, "No entry of the Bundle has this fullUrl.")
		}
		return "", true
	}
	typ, ok = r.literal(s)
	return typ, ok
}

// local follows a reference to a contained resource, or from one to what
// contains it.
func (r *run) local(id string) (typ string, ok bool) {
	if id == "" {
		return r.container.Get("resourceType").String(), true
	}
	for c := range r.container.All("contained") {
		if c.Get("id").Is(id) {
			return c.Get("resourceType").String(), true
		}
	}
	r.fail(of("ref-1", "Reference"), fhir.CodeInvariant, "No contained resource has the id behind the #. Add it to contained, or refer to a resource of its own.")
	return "", false
}

// fullURL judges the fullUrl of an entry of a Bundle: a whole one, and one that
// says no other type and id than the resource itself.
func (r *run) fullURL(entry fhir.Node) {
	u, resource := entry.Get("fullUrl"), entry.Get("resource")
	if u.Kind() != fhir.String || u.Is("") {
		return
	}
	r.push("fullUrl", "", -1)
	defer r.pop()
	s := u.String()
	if !absolute(s) {
		r.fail(of("bdl-url", "Bundle.entry"), fhir.CodeValue, "The fullUrl of an entry is a whole one: a URL, or urn:uuid: and a UUID.")
		return
	}
	parts := strings.Split(s, "/")
	if n := len(parts); strings.HasPrefix(s, "http") && n > 4 && r4.IsResource(parts[n-2]) && resource.Get("id").Kind() == fhir.String &&
		(!resource.Get("resourceType").Is(parts[n-2]) || !resource.Get("id").Is(parts[n-1])) {
		r.fail(of("bdl-url", "Bundle.entry"), fhir.CodeValue, "The fullUrl says another type or id than the resource of the entry has.")
	}
}

// entry looks for the entry of the Bundle that has a fullUrl, or one that ends
// with Type/id.
func (r *run) entry(s string) fhir.Node {
	if !r.bundle.Exists() {
		return fhir.Node{}
	}
	if r.entriesOf != r.bundle {
		r.entries, r.entriesOf = map[string]fhir.Node{}, r.bundle
		for e := range r.bundle.All("entry") {
			url, resource := e.Get("fullUrl").String(), e.Get("resource")
			if url == "" || !resource.Exists() {
				continue
			}
			r.entries[url] = resource
			if parts := strings.Split(url, "/"); len(parts) > 4 {
				r.entries[strings.Join(parts[len(parts)-2:], "/")] = resource
			}
		}
	}
	return r.entries[s]
}

func (r *run) literal(s string) (typ string, ok bool) {
	base := r.v.opts.Base
	if base != "" {
		base = strings.TrimSuffix(base, "/") + "/"
	}
	own := s
	if rest, below := strings.CutPrefix(s, base); base != "" && below {
		own = rest
	}
	if before, _, conditional := strings.Cut(own, "?"); conditional && !strings.Contains(before, "://") {
		if !r4.IsResource(before) {
			r.fail(of("ref-form", "Reference"), fhir.CodeValue, "The reference does not begin with a type of resource that R4 knows.")
			return "", false
		}
		if kind := r.bundle.Get("type"); !r.v.opts.Searches && !kind.Is("transaction") && !kind.Is("batch") {
			r.fail(of("ref-conditional", "Reference"), fhir.CodeValue, "A search stands in place of a reference; that has a meaning only within a transaction. Write Type/id.")
			return "", false
		}
		return before, true
	}
	if strings.Contains(own, "://") {
		if u, err := url.Parse(own); err != nil || u.Host == "" {
			r.fail(of("ref-form", "Reference"), fhir.CodeValue, "The reference is no good URL.")
			return "", false
		}
		parts := strings.Split(own, "/")
		if n := len(parts); n > 5 && parts[n-2] == "_history" {
			parts = parts[:n-2]
		}
		if n := len(parts); n > 4 && r4.IsResource(parts[n-2]) {
			return parts[n-2], true
		}
		return "", true // on another server, which may name things as it likes
	}
	ref, ok := fhir.ParseReference(own, "")
	if !ok {
		r.fail(of("ref-form", "Reference"), fhir.CodeValue, "Write the reference as Type/id, as a URL, as urn:uuid: and a UUID, or as # and the id of a contained resource.")
		return "", false
	}
	if !r4.IsResource(ref.Type) {
		r.fail(of("ref-form", "Reference"), fhir.CodeValue, "The reference names a type of resource that R4 does not know.")
		return "", false
	}
	if r.v.opts.References != nil && !r.entry(ref.String()).Exists() {
		exists, err := r.v.opts.References.Exists(r.ctx, ref)
		switch {
		case r.ctx.Err() != nil:
			r.stop()
		case err != nil:
			r.warn(of("ref-exists", "Reference"), fhir.CodeTransient, "Whether the resource exists could not be found out.")
		case !exists:
			r.fail(of("ref-exists", "Reference"), fhir.CodeNotFound, "The resource that is referred to does not exist here. Send it first, or correct the reference.")
		}
	}
	return ref.Type, true
}

// allowed judges the type that a reference leads to by the definition.
func (r *run) allowed(el *r4.Element, typ string) {
	if !r4.IsResource(typ) {
		return
	}
	var targets []string
	for _, t := range el.Types {
		if t.Code != "Reference" {
			continue
		}
		if len(t.Targets) == 0 {
			return
		}
		targets = append(targets, t.Targets...)
	}
	if len(targets) == 0 || slices.ContainsFunc(targets, func(t string) bool { return r4.Is(typ, lastStep(t)) }) {
		return
	}
	r.fail(of("ref-target", el.Path), fhir.CodeValue, "The reference may lead to %s, not to another type of resource.", oneOf(targets))
}

func lastStep(s string) string { return s[strings.LastIndexByte(s, '/')+1:] }

// oneOf writes a list for people, no longer than they would read.
func oneOf(list []string) string {
	const most = 12
	switch {
	case len(list) == 0:
		return "nothing"
	case len(list) == 1:
		return list[0]
	case len(list) > most:
		return strings.Join(list[:most], ", ") + " and others"
	}
	return strings.Join(list[:len(list)-1], ", ") + " or " + list[len(list)-1]
}

func absolute(s string) bool {
	scheme, rest, ok := strings.Cut(s, ":")
	if !ok || scheme == "" || rest == "" {
		return false
	}
	for i := range len(scheme) {
		c := scheme[i] | 0x20
		if !(c >= 'a' && c <= 'z' || i > 0 && (digit(scheme[i]) || scheme[i] == '+' || scheme[i] == '.' || scheme[i] == '-')) {
			return false
		}
	}
	return true
}
