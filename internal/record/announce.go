package record

import (
	"slices"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/subscription"
)

// announce puts an event into the outbox for every topic that the change
// meets, and for every organisation that is told of it there. owner is the
// organisation that the record belongs to.
func (k *Keeper) announce(tx store.Tx, change subscription.Change, owner string) error {
	matches := k.Topics.Match(change)
	if len(matches) == 0 {
		return nil
	}
	var types []string
	for _, m := range matches {
		types = append(types, m.Topic.Include...)
	}
	with, err := Included(tx, change.After, change.Base, types)
	if err != nil {
		return err
	}
	for _, m := range matches {
		if len(m.Topic.Recipients) > 0 && m.Organization != owner {
			if err := tx.Grant(change.After.Type(), change.After.ID(), m.Organization); err != nil {
				return err
			}
		}
		if change.Includes, err = travelling(tx, change, with, owner, m.Organization); err != nil {
			return err
		}
		if err := tx.PutEvent(subscription.Render(m, change, change.Base)); err != nil {
			return err
		}
	}
	return nil
}

// maxRecipients bounds the organisations to which one record goes.
const maxRecipients = 20

// owners tells for which organisations the recipients of a record stand, in
// both of its versions. Those that the exchange does not know have no topics,
// and are left out. A record that names too many is refused.
func (k *Keeper) owners(r store.Reader, before, after *fhir.Document, base string) (map[fhir.Reference]string, error) {
	refs := k.Topics.References(after, base, maxRecipients)
	if len(refs) == 0 {
		return nil, nil
	}
	if len(refs) > maxRecipients {
		return nil, fhir.Errorf(fhir.CodeTooCostly, "", "A record may be announced to %d organisations at most.", maxRecipients).WithStatus(422)
	}
	if before != nil {
		refs = append(refs, k.Topics.References(before, base, maxRecipients)...)
	}
	owners := make(map[fhir.Reference]string, len(refs))
	for _, ref := range refs {
		if _, known := owners[ref]; known {
			continue
		}
		c, err := Find(r, ref.Type, ref.ID)
		switch {
		case err != nil:
			return nil, err
		case c == nil:
			owners[ref] = ""
		case ref.Type == "Organization":
			owners[ref] = ref.ID
		default:
			owners[ref] = c.Organization
		}
	}
	return owners, nil
}

// maxIncluded bounds the records that may go out with another.
const maxIncluded = 100

// Included gives the records of the types to which a document refers, each
// once. base is the FHIR base URL. Who may see them is for the caller to ask.
func Included(r store.Reader, doc *fhir.Document, base string, types []string) (found []*Current, err error) {
	if len(types) == 0 {
		return nil, nil
	}
	seen := map[fhir.Reference]bool{}
	for n := range references(doc.Root()) {
		ref, ok := fhir.ParseReference(n.String(), base)
		ref.Version = ""
		if !ok || seen[ref] || !slices.Contains(types, ref.Type) {
			continue
		}
		if seen[ref] = true; len(seen) > maxIncluded {
			break
		}
		c, err := Find(r, ref.Type, ref.ID)
		if err != nil {
			return nil, err
		}
		if c != nil {
			found = append(found, c)
		}
	}
	return found, nil
}

// references gives the references of a document, in its order.
func references(n fhir.Node) func(yield func(fhir.Node) bool) {
	return func(yield func(fhir.Node) bool) { _ = walk(n, yield) }
}

func walk(n fhir.Node, yield func(fhir.Node) bool) bool {
	for c := range n.Children() {
		switch c.Kind() {
		case fhir.Object, fhir.Array:
			if !walk(c, yield) {
				return false
			}
		case fhir.String:
			if c.Name() == "reference" && !yield(c) {
				return false
			}
		}
	}
	return true
}

// travelling gives those of the records that go out with an announcement to an
// organisation: what it may see itself, what the owner of the record may see,
// and so hands on, and the patient of a consultation, whom the exchange has
// judged when it took the record in.
func travelling(r store.Reader, change subscription.Change, with []*Current, owner, organization string) (docs []*fhir.Document, err error) {
	sights := slices.DeleteFunc([]string{organization, owner}, func(o string) bool { return o == "" })
	for _, c := range with {
		goes := slices.Contains(sights, c.Organization) || change.Provider != "" && patientOf(change.After, c)
		for _, o := range sights {
			if goes {
				break
			}
			if goes, err = Sees(r, reader(o), c.Type, c.ID); err != nil {
				return nil, err
			}
		}
		if goes {
			docs = append(docs, c.Doc)
		}
	}
	return docs, nil
}

// reader stands for a source system of an organisation that may read all that
// the organisation may.
func reader(organization string) auth.Principal {
	return auth.Principal{Kind: auth.Client, Organization: organization, Scopes: []string{"system/*.rs"}}
}

// patientOf tells whether a record is the patient of an Encounter or an
// Appointment.
func patientOf(doc *fhir.Document, c *Current) bool {
	if c.Type != "Patient" {
		return false
	}
	for _, path := range []string{"subject.reference", "participant.actor.reference"} {
		for n := range doc.All(path) {
			if ref, ok := fhir.ParseReference(n.String(), ""); ok && ref.Type == c.Type && ref.ID == c.ID {
				return true
			}
		}
	}
	return false
}
