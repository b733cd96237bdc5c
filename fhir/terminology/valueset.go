package terminology

// ValueSet is the definition of a value set.
type ValueSet struct {
	URL, ID, Version, Name, Title, Status string

	Include, Exclude []Include

	// ActiveOnly leaves inactive codes out (compose.inactive is false).
	ActiveOnly bool

	// Expansion holds the codes that the value set was sent with. They count
	// where the definition says nothing, or names codes that are not known here.
	Expansion []Listed
}

// Include is one include or exclude of a definition: the codes of a system that
// are listed or that all filters let through, or else all, as far as they are
// in each of the value sets too.
type Include struct {
	System, Version string
	Concepts        []Listed
	Filters         []Filter
	ValueSets       []string
}

// Listed is a code that a definition names.
type Listed struct {
	System, Code, Display string // System is set in an expansion only
	Abstract, Inactive    bool
	Designations          []Designation
}

// Filter is a condition on the concepts of a system.
type Filter struct{ Property, Op, Value string }
