package r4

import (
	_ "embed"
	"sync"
)

// Compartment says which resources belong to a resource of the type Code: a
// patient, an encounter, a practitioner, a related person or a device.
type Compartment struct {
	Code    string
	URL     string
	Members []Member // in the order of their types
}

// Member is a type of which resources may belong to a compartment: those that
// refer to its resource by one of the parameters. Itself is the parameter of
// the resource that the compartment is named after.
type Member struct {
	Type   string
	Params []string
}

// Itself stands among the parameters of a member that belongs to its own
// compartment.
const Itself = "{def}"

//go:embed compartments.txt
var compartmentText string

var compartments = sync.OnceValue(func() []*Compartment { return parseCompartments(compartmentText) })

// Compartments gives the compartments in the order of their codes.
func Compartments() []*Compartment { return compartments() }

// LookupCompartment gives the compartments of a resource type.
func LookupCompartment(typ string) (*Compartment, bool) {
	for _, c := range compartments() {
		if c.Code == typ {
			return c, true
		}
	}
	return nil, false
}

// Params gives the parameters by which resources of a type belong to the
// compartment; there are none when they never do.
func (c *Compartment) Params(typ string) []string {
	for _, m := range c.Members {
		if m.Type == typ {
			return m.Params
		}
	}
	return nil
}

func parseCompartments(text string) []*Compartment {
	var all []*Compartment
	for line := range lines(text) {
		f := fields{line}
		if f.next() == "C" {
			all = append(all, &Compartment{Code: f.next(), URL: f.next()})
			continue
		}
		c := all[len(all)-1]
		c.Members = append(c.Members, Member{f.next(), list(f.next())})
	}
	return all
}
