package auth

import "github.com/jumpa-hie/jumpa/fhir"

// Action is what a principal wants to do.
type Action string

// Actions on FHIR resources carry the letters of SMART scopes; the others are
// the exchange's own.
const (
	Create  Action = "c"
	Read    Action = "r"
	Update  Action = "u"
	Delete  Action = "d"
	Search  Action = "s"
	Ask     Action = "ask"     // what codes mean, which is nobody's record and needs no scope
	Session Action = "session" // Jitsi session API
	Notify  Action = "notify"  // notification API
)

// reach says which records of a type a client may see or change.
type reach uint8

const (
	nothing   reach = iota
	own             // records of its organisation, or granted to it
	directory       // everybody's: who offers what, where
)

// policy is the one table: resource type × reading or writing. Types that are
// not named have the reach of "*".
var policy = map[string]struct{ read, write reach }{
	"*":                       {own, own},
	"Organization":            {directory, own},
	"HealthcareService":       {directory, own},
	"Location":                {directory, own},
	"Practitioner":            {directory, own},
	"PractitionerRole":        {directory, own},
	"OrganizationAffiliation": {directory, own},
	"CapabilityStatement":     {directory, nothing}, // what the exchange itself is made of, down to ValueSet
	"CodeSystem":              {directory, nothing},
	"CompartmentDefinition":   {directory, nothing},
	"NamingSystem":            {directory, nothing},
	"OperationDefinition":     {directory, nothing},
	"SearchParameter":         {directory, nothing},
	"StructureDefinition":     {directory, nothing},
	"TerminologyCapabilities": {directory, nothing},
	"ValueSet":                {directory, nothing},
	"AuditEvent":              {own, nothing},
}

// Grant is what the policy allows. Organization restricts to the records that
// this organisation may see; "" is no restriction.
type Grant struct {
	Organization string
}

// Derived tells whether the resources of a type are made by the exchange
// itself: all may read them, and nobody writes them.
func Derived(typ string) bool {
	rule := policy[typ]
	return rule.read == directory && rule.write == nothing
}

// Allow decides on an action on a resource type (typ is "" for the session and
// notification APIs). The error is a fhir.Error with code login or forbidden.
func Allow(p Principal, a Action, typ string) (Grant, error) {
	switch p.Kind {
	case System, Operator:
		return Grant{}, nil
	case Client:
	case Patient:
		return Grant{}, ErrForbidden() // patients use the portal, never the FHIR API
	default:
		return Grant{}, fhir.Errorf(fhir.CodeLogin, "", "This needs an access token.")
	}
	if !scoped(p.Scopes, a, typ) {
		return Grant{}, ErrForbidden()
	}
	if typ == "" {
		return Grant{Organization: p.Organization}, nil
	}
	rule, ok := policy[typ]
	if !ok {
		rule = policy["*"]
	}
	r := rule.write
	if a == Read || a == Search || a == Ask {
		r = rule.read
	}
	switch r {
	case directory:
		return Grant{}, nil
	case own:
		return Grant{Organization: p.Organization}, nil
	}
	return Grant{}, ErrForbidden()
}
