package library

import (
	"path"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir/r4"
	"github.com/jumpa-hie/jumpa/internal/search"
	"github.com/jumpa-hie/jumpa/mycore"
)

// guide gives the definitions of MY Core of one type.
func guide(typ string) Source {
	return func() []Item {
		var all []Item
		for _, doc := range mycore.Definitions() {
			if doc.Type() == typ {
				all = append(all, Item{doc.ID(), func() any { return doc }})
			}
		}
		return all
	}
}

// heading is what definitions begin with.
type heading struct {
	ResourceType string `json:"resourceType"`
	ID           string `json:"id"`
	URL          string `json:"url,omitempty"`
	Version      string `json:"version,omitempty"`
	Name         string `json:"name"`
	Title        string `json:"title,omitempty"`
	Status       string `json:"status"`
	Kind         string `json:"kind,omitempty"`
	Experimental *bool  `json:"experimental,omitempty"`
	Date         string `json:"date"`
	Publisher    string `json:"publisher"`
	Description  string `json:"description,omitempty"`
}

var no = new(bool)

type compartment struct {
	heading
	Code     string              `json:"code"`
	Search   bool                `json:"search"`
	Resource []compartmentMember `json:"resource"`
}

type compartmentMember struct {
	Code  string   `json:"code"`
	Param []string `json:"param,omitempty"`
}

// compartments gives the compartments of R4: for each resource type the
// parameters by which it belongs there.
func compartments() []Item {
	var all []Item
	for _, c := range r4.Compartments() {
		id := path.Base(c.URL)
		all = append(all, Item{id, func() any {
			out := compartment{
				heading: heading{
					ResourceType: "CompartmentDefinition", ID: id, URL: c.URL, Version: release, Name: "Base FHIR compartment definition for " + c.Code,
					Status: "active", Experimental: no, Date: released, Publisher: hl7,
					Description: "The records that belong to a " + c.Code + ": those that refer to it by one of the parameters.",
				},
				Code: c.Code, Search: true,
			}
			for _, typ := range search.Types() {
				out.Resource = append(out.Resource, compartmentMember{typ, c.Params(typ)})
			}
			return out
		}})
	}
	return all
}

type namingSystem struct {
	heading
	UniqueID []uniqueID `json:"uniqueId"`
}

type uniqueID struct {
	Type      string `json:"type"`
	Value     string `json:"value"`
	Preferred bool   `json:"preferred"`
}

// identifiers are the identifier systems of MY Core and what they number. The
// first of several spellings is the one that the exchange writes.
var identifiers = []struct{ systems, name, says string }{
	{mycore.SystemVCToken, "VirtualConsultationToken", "The session of a virtual consultation: a UUID in lower case that this exchange gives out."},
	{mycore.SystemEncounterID, "EncounterNumber", "The number of an encounter."},
	{mycore.SystemMyKad + " " + mycore.SystemMyKadVariant, "MyKadNumber", "The number of a Malaysian identity card, MyKad or MyKid: twelve digits without dashes."},
	{mycore.SystemMRN, "MedicalRecordNumber", "The number of a patient at a facility."},
	{mycore.SystemPassport, "PassportNumber", "The number of a passport."},
	{mycore.SystemArmy, "ArmyNumber", "The number of a member of the armed forces."},
	{mycore.SystemPolice, "PoliceNumber", "The number of a member of the police."},
	{mycore.SystemNewborn, "NewbornNumber", "The number of a newborn child that has no number of its own yet."},
	{mycore.SystemPermanent, "PermanentResidenceNumber", "The number of a permanent resident."},
	{mycore.SystemOthers, "OtherNumber", "A number of a person that is none of the others."},
	{mycore.SystemOrganizationID, "OrganizationNumber", "The number of a facility in the register of the Ministry of Health."},
}

// namingSystems gives the identifier systems of MY Core.
func namingSystems() []Item {
	var all []Item
	for _, i := range identifiers {
		systems := strings.Fields(i.systems)
		id := path.Base(systems[0])
		all = append(all, Item{id, func() any {
			out := namingSystem{heading: heading{
				ResourceType: "NamingSystem", ID: id, Name: i.name, Status: "active", Kind: "identifier", Date: guideDate,
				Publisher: publisher, Description: i.says,
			}}
			for at, s := range systems {
				out.UniqueID = append(out.UniqueID, uniqueID{"uri", s, at == 0})
			}
			return out
		}})
	}
	return all
}

const (
	publisher    = "Jumpa, after the MY Core implementation guide"
	guideVersion = mycore.Version
	guideDate    = "2025-12-01" // of the guide's published package
)
