package auth

import (
	"context"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
)

func TestAllow(t *testing.T) {
	client := func(scopes string) Principal {
		return Principal{Kind: Client, ID: "HTJ", Organization: hospital, Scopes: strings.Fields(scopes)}
	}
	all := client("system/*.cruds session notify")
	patient := Principal{Kind: Patient, ID: "account", Login: aminah}
	for _, c := range []struct {
		name string
		p    Principal
		a    Action
		typ  string
		want fhir.Code
		org  string
	}{
		{"own record", all, Read, "Patient", "", hospital},
		{"own record written", all, Update, "Encounter", "", hospital},
		{"directory read", all, Search, "HealthcareService", "", ""},
		{"directory written", all, Update, "HealthcareService", "", hospital},
		{"definitions read", all, Read, "ValueSet", "", ""},
		{"definitions written", all, Create, "ValueSet", fhir.CodeForbidden, ""},
		{"codes asked about", client("system/Patient.rs"), Ask, "ValueSet", "", ""},
		{"codes asked about by a patient", patient, Ask, "ValueSet", fhir.CodeForbidden, ""},
		{"codes asked about by nobody", Principal{}, Ask, "CodeSystem", fhir.CodeLogin, ""},
		{"audit read", all, Search, "AuditEvent", "", hospital},
		{"audit written", all, Create, "AuditEvent", fhir.CodeForbidden, ""},
		{"audit deleted", all, Delete, "AuditEvent", fhir.CodeForbidden, ""},
		{"session", all, Session, "", "", hospital},
		{"notify", all, Notify, "", "", hospital},
		{"nobody", Principal{}, Read, "Patient", fhir.CodeLogin, ""},
		{"nobody and sessions", Principal{}, Session, "", fhir.CodeLogin, ""},
		{"a patient", patient, Read, "Patient", fhir.CodeForbidden, ""},
		{"a patient and sessions", patient, Session, "", fhir.CodeForbidden, ""},
		{"an operator", Principal{Kind: Operator}, Delete, "Patient", "", ""},
		{"the exchange", Exchange, Update, "Encounter", "", ""},
		{"a kind that there is not", Principal{Kind: "robot", Scopes: all.Scopes}, Read, "Patient", fhir.CodeLogin, ""},
		{"no scopes", client(""), Read, "Patient", fhir.CodeForbidden, ""},
		{"reader reads", client("system/Patient.rs"), Read, "Patient", "", hospital},
		{"reader searches", client("system/Patient.rs"), Search, "Patient", "", hospital},
		{"reader writes", client("system/Patient.rs"), Update, "Patient", fhir.CodeForbidden, ""},
		{"another type", client("system/Patient.rs"), Read, "Encounter", fhir.CodeForbidden, ""},
		{"a type that begins alike", client("system/Patient.rs"), Read, "PatientX", fhir.CodeForbidden, ""},
		{"the word read reads", client("system/Patient.read"), Search, "Patient", "", hospital},
		{"the word read holds a d but deletes nothing", client("system/Patient.read"), Delete, "Patient", fhir.CodeForbidden, ""},
		{"the word write deletes", client("system/Patient.write"), Delete, "Patient", "", hospital},
		{"the word write holds an r but reads nothing", client("system/Patient.write"), Read, "Patient", fhir.CodeForbidden, ""},
		{"the first version's star", client("system/*.*"), Create, "Patient", "", hospital},
		{"scopes of people", client("user/*.cruds patient/*.cruds"), Read, "Patient", fhir.CodeForbidden, ""},
		{"notify is no session", client("notify"), Session, "", fhir.CodeForbidden, ""},
		{"records are no session", client("system/*.cruds"), Session, "", fhir.CodeForbidden, ""},
		{"session is no record", client("session"), Read, "Patient", fhir.CodeForbidden, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			grant, err := Allow(c.p, c.a, c.typ)
			wantCode(t, err, c.want)
			if grant.Organization != c.org {
				t.Errorf("restricted to %q, want %q", grant.Organization, c.org)
			}
		})
	}
}

func TestNarrowed(t *testing.T) {
	const held = "system/Patient.rs system/Encounter.cruds notify"
	for _, c := range []struct{ held, asked, want string }{
		{held, "", held},
		{" a  b ", " ", "a b"},
		{held, "notify", "notify"},
		{held, "system/Encounter.ru notify", "system/Encounter.ru notify"},
		{held, "notify notify", "notify"},
		{held, "system/Patient.read", "system/Patient.read"},
		{"system/*.cruds", "system/*.*", "system/*.*"},
		{"system/*.cruds", "system/Slot.c", "system/Slot.c"},
		{"system/*.rs system/*.cud", "system/*.cruds", "system/*.cruds"},
		{held, "session", "refused"},
		{held, "system/Patient.rus", "refused"},
		{held, "system/*.r", "refused"},
		{held, "system/Encounter.sr", "refused"},
		{held, "system/Encounter.rr", "refused"},
		{held, "system/Encounter.", "refused"},
		{held, "system/Encounter", "refused"},
		{held, "system/.r", "refused"},
		{held, "system/encounter.r", "refused"},
		{held, "system/Encounter.r?status=arrived", "refused"},
		{held, "openid", "refused"},
		{"system/*.cruds", "c", "refused"},
		{"system/*.cruds", "system/Enc/ounter.r", "refused"},
		{"openid", "openid", "refused"},
		{held, strings.Repeat("notify ", 400), "refused"},
	} {
		got, err := narrowed(c.held, c.asked)
		if err != nil {
			got = "refused"
			wantCode(t, err, fhir.CodeForbidden)
		}
		if got != c.want {
			t.Errorf("of %q asked %q: %q, want %q", c.held, c.asked, got, c.want)
		}
	}
}

func TestPrincipalOfAContext(t *testing.T) {
	ctx := context.Background()
	if p := FromContext(ctx); p.Kind != "" {
		t.Errorf("an empty context has a principal: %+v", p)
	}
	if p := FromContext(WithPrincipal(ctx, Exchange)); p.ID != "exchange" {
		t.Errorf("principal %+v", p)
	}
}
