package storetest

import (
	"testing"

	"github.com/jumpa-hie/jumpa/internal/store"
)

func is(c store.Clause) store.Condition { return store.Condition{Clause: &c} }

func except(c store.Condition) store.Condition {
	c.Not = !c.Not
	return c
}

func all(c ...store.Condition) store.Condition { return store.Condition{All: c} }

func either(c ...store.Condition) store.Condition {
	return store.Condition{Any: append([]store.Condition{}, c...)}
}

// leads is a chain: the reference leads to a match of one of sub.
func leads(param string, sub ...store.Query) store.Condition {
	return store.Condition{Link: &store.Link{Param: param, Sub: sub}}
}

// led is a chain backwards: a match of one of sub refers to the record.
func led(param string, sub ...store.Query) store.Condition {
	return store.Condition{Link: &store.Link{Param: param, Reverse: true, Sub: sub}}
}

// of is an inner query.
func of(typ string, where ...store.Condition) store.Query {
	return store.Query{Type: typ, Where: where}
}

// clinic writes doctors x and y, a group g, patients a to e, and visits to them:
// 1 and 2 of a, 3 of b, 4 of the group, 5 of a patient who has been deleted, and
// 6 to a doctor of another exchange. The visits 2 and 3 belong to org-b.
func clinic(t *testing.T, s store.Store) {
	t.Helper()
	entry := func(kind store.Kind, param, value string) store.Entry {
		return store.Entry{Param: param, Kind: kind, Value: value}
	}
	family(t, s)
	write(t, s, func(tx store.Tx) error {
		for _, id := range []string{"x", "y"} {
			if err := tx.PutResource(record("Practitioner", id, 1, monday), []store.Entry{entry(store.String, "name", "doctor "+id)}, nil); err != nil {
				return err
			}
		}
		if err := tx.PutResource(record("Group", "a", 1, monday), []store.Entry{entry(store.String, "name", "tan")}, nil); err != nil {
			return err
		}
		for _, v := range []struct{ id, organization, subject, doctor, status string }{
			{"1", "org-a", "Patient/a", "Practitioner/x", "done"},
			{"2", "org-b", "Patient/a", "Practitioner/y", "open"},
			{"3", "org-b", "Patient/b", "Practitioner/x", "open"},
			{"4", "org-a", "Group/a", "Practitioner/y", "open"},
			{"5", "org-a", "Patient/gone", "Practitioner/y", "done"},
			{"6", "org-a", "Patient/nobody", "https://elsewhere.example/Practitioner/x", "done"},
		} {
			r := record("Encounter", v.id, 1, monday)
			r.Organization = v.organization
			if err := tx.PutResource(r, []store.Entry{
				entry(store.Reference, "subject", v.subject), entry(store.Reference, "doctor", v.doctor), entry(store.Token, "status", v.status+"|"),
			}, nil); err != nil {
				return err
			}
		}
		return nil
	})
}

var treeTests = []test{
	{"conditions within conditions", func(t *testing.T, s store.Store) {
		family(t, s)
		female, male := is(where("gender", token("female|"))), is(where("gender", token("male|")))
		tan, early := is(where("name", begins(store.String, "tan"))), is(where("date", dated(store.LessThan, 12, 13)))
		id := func(v string) store.Condition { return is(where("_id", token(v))) }
		for _, c := range []struct {
			name  string
			where []store.Condition
			want  []string
		}{
			{"one of two", []store.Condition{either(male, early)}, []string{"a", "b", "c"}},
			{"both of two", []store.Condition{all(female, early)}, []string{"a", "c"}},
			{"not one of two", []store.Condition{except(either(male, early))}, []string{"d", "e"}},
			{"not both of two", []store.Condition{except(all(female, tan))}, []string{"b", "c", "d", "e"}},
			{"not a clause that is not", []store.Condition{except(is(not(where("gender", token("female|")))))}, []string{"a", "c"}},
			{"one of two, and another", []store.Condition{either(male, female), tan}, []string{"a", "b"}},
			{"one of both and one", []store.Condition{either(all(female, tan), id("e"))}, []string{"a", "e"}},
			{"one of both and both", []store.Condition{either(all(female, tan), all(male, tan))}, []string{"a", "b"}},
			{"both of one and one", []store.Condition{all(either(male, female), either(tan, id("c")))}, []string{"a", "b", "c"}},
			{"all of nothing", []store.Condition{all()}, []string{"a", "b", "c", "d", "e"}},
			{"any of nothing", []store.Condition{either()}, []string{}},
			{"one of two ids", []store.Condition{either(id("a"), id("b"))}, []string{"a", "b"}},
			{"an id or what is missing", []store.Condition{either(id("a"), is(where("date", missing(store.Date, "true"))))}, []string{"a", "e"}},
			{"four deep", []store.Condition{either(all(either(all(female, tan)))), except(except(early))}, []string{"a"}},
		} {
			t.Run(c.name, func(t *testing.T) {
				for _, organization := range []string{"", "org-a"} {
					page := read(t, s, search(store.Query{Type: "Patient", Where: c.where, Organization: organization, Count: 100, Total: true}))
					equal(t, "found", sorted(ids(page.Resources)), c.want)
					equal(t, "total", page.Total, len(c.want))
				}
			})
		}
	}},
	{"what is found by way of other records", func(t *testing.T, s store.Store) {
		clinic(t, s)
		named := func(name string) store.Condition { return is(where("name", begins(store.String, name))) }
		number := is(where("identifier", token("111|nric")))
		open := is(where("status", token("open|")))
		seen := func(q store.Query, organization string) store.Query {
			q.Organization = organization
			return q
		}
		for _, c := range []struct {
			name, typ string
			where     []store.Condition
			want      []string
		}{
			{"by what a reference leads to", "Encounter", []store.Condition{leads("subject", of("Patient", number))}, []string{"1", "2"}},
			{"by its beginning", "Encounter", []store.Condition{leads("subject", of("Patient", named("tan")))}, []string{"1", "2", "3"}},
			{"to one of two types", "Encounter", []store.Condition{leads("subject", of("Patient", named("tan")), of("Group", named("tan")))}, []string{"1", "2", "3", "4"}},
			{"to the other type alone", "Encounter", []store.Condition{leads("subject", of("Group", named("tan")))}, []string{"4"}},
			{"to a record that is there", "Encounter", []store.Condition{leads("subject", of("Patient"))}, []string{"1", "2", "3"}},
			{"to an id", "Encounter", []store.Condition{leads("subject", of("Patient", is(where("_id", token("b")))))}, []string{"3"}},
			{"to what does not have a value", "Encounter", []store.Condition{leads("subject", of("Patient", except(number)))}, []string{"3"}},
			{"not to what has a value", "Encounter", []store.Condition{except(leads("subject", of("Patient", number)))}, []string{"3", "4", "5", "6"}},
			{"not to a deleted record", "Encounter", []store.Condition{leads("subject", of("Patient", is(where("identifier", token("1112|nric")))))}, []string{"3"}},
			{"not to a record elsewhere", "Encounter", []store.Condition{leads("doctor", of("Practitioner", named("doctor x")))}, []string{"1", "3"}},
			{"two ways", "Encounter", []store.Condition{leads("subject", of("Patient", named("tan"))), leads("doctor", of("Practitioner", named("doctor x")))}, []string{"1", "3"}},
			{"a way and a value", "Encounter", []store.Condition{open, leads("subject", of("Patient", number))}, []string{"2"}},
			{"a way or a value", "Encounter", []store.Condition{either(is(where("status", token("done|"))), leads("doctor", of("Practitioner", named("doctor y"))))}, []string{"1", "2", "4", "5", "6"}},
			{"two conditions at the end of the way", "Encounter", []store.Condition{leads("subject", of("Patient", named("tan"), is(where("gender", token("male|")))))}, []string{"3"}},
			{"to nothing", "Encounter", []store.Condition{leads("subject")}, []string{}},
			{"by a parameter that is no reference", "Encounter", []store.Condition{leads("status", of("Patient"))}, []string{}},

			{"by what refers to it", "Patient", []store.Condition{led("subject", of("Encounter", open))}, []string{"a", "b"}},
			{"by an id that refers to it", "Patient", []store.Condition{led("subject", of("Encounter", is(where("_id", token("3")))))}, []string{"b"}},
			{"by anything that refers to it", "Patient", []store.Condition{led("subject", of("Encounter"))}, []string{"a", "b"}},
			{"by nothing that refers to it", "Patient", []store.Condition{except(led("subject", of("Encounter")))}, []string{"c", "d", "e"}},
			{"by a value, or a code of what refers to it", "Patient", []store.Condition{either(number, led("subject", of("Encounter", open)))}, []string{"a", "b"}},
			{"neither by a value nor by a code of what refers to it", "Patient", []store.Condition{all(except(number), except(led("subject", of("Encounter", open))))}, []string{"c", "d", "e"}},
			{"of the type that is asked for", "Group", []store.Condition{led("subject", of("Encounter", open))}, []string{"a"}},
			{"by what both refers and leads elsewhere", "Patient", []store.Condition{led("subject", of("Encounter", open, leads("doctor", of("Practitioner", named("doctor x")))))}, []string{"b"}},
			{"by what leads to one whom others refer to", "Encounter", []store.Condition{leads("subject", of("Patient", led("subject", of("Encounter", is(where("status", token("done|")))))))}, []string{"1", "2"}},
			{"from the end of the way back", "Practitioner", []store.Condition{led("doctor", of("Encounter", leads("subject", of("Patient", number))))}, []string{"x", "y"}},

			{"only by records that may be seen", "Patient", []store.Condition{led("subject", seen(of("Encounter", open), "org-b"))}, []string{"a", "b"}},
			{"not by records of others", "Patient", []store.Condition{led("subject", seen(of("Encounter", open), "org-a"))}, []string{}},
			{"not by way of records of others", "Encounter", []store.Condition{leads("subject", seen(of("Patient", number), "org-b"))}, []string{}},
			{"by way of one's own records", "Encounter", []store.Condition{leads("subject", seen(of("Patient", number), "org-a"))}, []string{"1", "2"}},
		} {
			t.Run(c.name, func(t *testing.T) {
				page := read(t, s, search(store.Query{Type: c.typ, Where: c.where, Count: 100, Total: true}))
				equal(t, "found", sorted(ids(page.Resources)), c.want)
				equal(t, "total", page.Total, len(c.want))
				// The same beside a condition that names the records first.
				var one []store.Match
				for _, id := range append([]string{"zz"}, c.want...) {
					one = append(one, token(id))
				}
				where := append([]store.Condition{is(where("_id", one...))}, c.where...)
				equal(t, "found by id", sorted(found(t, s, store.Query{Type: c.typ, Where: where, Count: 100})), c.want)
			})
		}
	}},
	{"what an inner part finds has no bound", func(t *testing.T, s store.Store) {
		write(t, s, func(tx store.Tx) error {
			for i := range 1500 {
				id := string([]byte{'p', byte('0' + i/1000), byte('0' + i/100%10), byte('0' + i/10%10), byte('0' + i%10)})
				if err := tx.PutResource(record("Patient", id, 1, monday), []store.Entry{{Param: "name", Kind: store.String, Value: "tan"}}, nil); err != nil {
					return err
				}
				if err := tx.PutResource(record("Encounter", id, 1, monday), []store.Entry{{Param: "subject", Kind: store.Reference, Value: "Patient/" + id}}, nil); err != nil {
					return err
				}
			}
			return nil
		})
		tan := is(where("name", begins(store.String, "tan")))
		for _, q := range []store.Query{
			{Type: "Encounter", Where: []store.Condition{leads("subject", of("Patient", tan))}},
			{Type: "Patient", Where: []store.Condition{led("subject", of("Encounter"))}},
		} {
			equal(t, q.Type, read(t, s, search(q)).Total, 1500)
		}
	}},
	{"a search across types", func(t *testing.T, s store.Store) {
		clinic(t, s)
		tan := is(where("name", begins(store.String, "tan")))
		for _, c := range []struct {
			types []string
			where []store.Condition
			want  []string
		}{
			{[]string{"Patient", "Group"}, []store.Condition{tan}, []string{"Group/a", "Patient/a", "Patient/b"}},
			{[]string{"Patient", "Person"}, []store.Condition{is(where("identifier", token("111|nric")))}, []string{"Patient/a", "Person/a"}},
			{[]string{"Patient", "Person"}, []store.Condition{except(is(where("date", missing(store.Date, "false"))))}, []string{"Patient/e", "Person/e"}},
			{[]string{"Person", "Group"}, nil, []string{"Group/a", "Person/a", "Person/b", "Person/c", "Person/d", "Person/e"}},
			{[]string{"Patient", "Group"}, []store.Condition{is(where("_id", token("a")))}, []string{"Group/a", "Patient/a"}},
			{[]string{"Patient", "Group"}, []store.Condition{led("subject", of("Encounter", is(where("status", token("open|")))))}, []string{"Group/a", "Patient/a", "Patient/b"}},
			{[]string{"Patient", "Group"}, []store.Condition{led("subject", of("Encounter", is(where("_id", token("1"), token("4")))))}, []string{"Group/a", "Patient/a"}},
			{nil, nil, []string{}},
		} {
			page := read(t, s, search(store.Query{Types: c.types, Where: c.where, Sort: []store.Sort{{Param: "name"}}, Count: 100, Total: true}))
			found := []string{}
			for _, r := range page.Resources {
				found = append(found, r.Type+"/"+r.ID)
			}
			equal(t, "found", sorted(found), c.want)
			equal(t, "total", page.Total, len(c.want))
		}
	}},
}
