package app

import (
	"fmt"
	"strings"

	"github.com/jumpa-hie/jumpa/mycore"
)

// facility is an organisation of the demo with its services and practitioner.
type facility struct {
	id, name, mnemonic string
	practitioner       struct{ id, name, username string }
	services           map[string]struct{ name, specialty string } // by service type
}

func (f facility) service(kind string) string {
	return strings.ToLower(f.mnemonic + "-" + kind)
}

type staff = struct{ id, name, username string }

type offers = map[string]struct{ name, specialty string }

// facilities of the demo; the people and their numbers are invented.
var facilities = []facility{
	{
		id: "11-05060009", name: "Hospital Tuanku Ja'afar", mnemonic: "HTJ",
		practitioner: staff{"htj-dr-farid", "Dr. Farid Iskandar", "farid"},
		services:     offers{"VCI": {"Klinik Pakar Perubatan (maya)", "02"}, "VCE": {"Pendidikan Diabetes (kumpulan)", "531"}},
	},
	{
		id: "11-05040012", name: "Klinik Kesihatan Port Dickson", mnemonic: "KKPD",
		practitioner: staff{"kkpd-dr-mei", "Dr. Mei Ling Tan", "meiling"},
		services:     offers{"VCI": {"Klinik Kesihatan Keluarga (maya)", "151"}, "VCE": {"Kelas Berhenti Merokok (kumpulan)", "528"}},
	},
}

type person struct {
	id, name, identityNumber, gender, birthDate string
	rekodSaya                                   bool
}

var people = []person{
	{"demo-aminah", "Aminah binti Rahman", "850712055018", "female", "1985-07-12", true},
	{"demo-lim", "Lim Wei Sheng", "720301105537", "male", "1972-03-01", true},
	{"demo-devi", "Devi a/p Subramaniam", "910925086124", "female", "1991-09-25", true},
	{"demo-hassan", "Hassan bin Othman", "590418055271", "male", "1959-04-18", true},
	{"demo-grace", "Grace anak Jugah", "880106135882", "female", "1988-01-06", true},
	{"demo-ravi", "Ravi a/l Krishnan", "660614055733", "male", "1966-06-14", true},
	{"demo-siti", "Siti Khadijah binti Musa", "011130050946", "female", "2001-11-30", false},
}

type object = map[string]any

func coding(system, code, display string) object {
	c := object{"system": system, "code": code}
	if display == "" {
		display, _ = mycore.Display(system, code)
	}
	if display != "" {
		c["display"] = display
	}
	return object{"coding": []any{c}}
}

func profiled(typ, id string, more object) object {
	doc := object{"resourceType": typ, "id": id, "meta": object{
		"source": "http://provider.hie.moh.gov.my", "profile": []string{mycore.Profile(typ)},
	}}
	for k, v := range more {
		doc[k] = v
	}
	return doc
}

// directory gives the records that appointments stand on.
func (f facility) directory() []object {
	docs := []object{
		profiled("Organization", f.id, object{
			"identifier": []any{object{"system": mycore.SystemOrganizationID, "value": f.id}},
			"active":     true, "name": f.name, "alias": []string{f.mnemonic},
		}),
		profiled("Practitioner", f.practitioner.id, object{
			"identifier": []any{object{"system": "http://fhir.hie.moh.gov.my/sid/professional-no", "value": "DEMO-" + f.mnemonic}},
			"active":     true, "name": []any{object{"text": f.practitioner.name}}, "gender": "unknown", "birthDate": "1980-01-01",
		}),
	}
	for kind, s := range f.services {
		docs = append(docs, profiled("HealthcareService", f.service(kind), object{
			"extension":  []any{object{"url": mycore.ExtensionPublicBooking, "valueBoolean": true}},
			"active":     true,
			"providedBy": object{"reference": "Organization/" + f.id, "type": "Organization", "display": f.name},
			"category":   []any{coding(mycore.SystemEncounterClass, mycore.ClassVirtual, "Virtual")},
			"type":       []any{coding(mycore.SystemServiceType, kind, "")},
			"specialty":  []any{coding(mycore.SystemSpecialty, s.specialty, "")},
			"name":       s.name, "appointmentRequired": true,
		}))
	}
	return docs
}

func (p person) document(mrn int) object {
	return profiled("Patient", p.id, object{
		"identifier": []any{
			object{"system": mycore.SystemMyKad, "value": p.identityNumber},
			object{"system": mycore.SystemMRN, "value": fmt.Sprintf("HIE-%08d", mrn)},
		},
		"active": true, "name": []any{object{"text": p.name}}, "gender": p.gender, "birthDate": p.birthDate,
		"managingOrganization": object{"reference": "Organization/" + facilities[0].id, "type": "Organization"},
	})
}
