package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// source is what the packages hold, as far as the index needs it.
type source struct {
	structures []*structure
	searches   []*search
	valueSets  map[string]*valueSet
	systems    map[string]*codeSystem

	conceptMaps map[string]*conceptMap

	compartments []*compartment
}

type structure struct {
	Name, Kind, Status, FHIRVersion, Derivation string
	BaseDefinition                              string
	Abstract                                    bool
	Snapshot                                    struct{ Element []map[string]json.RawMessage }
}

type extension struct{ URL, ValueURL, ValueString string }

type typeRef struct {
	Code                   string
	Profile, TargetProfile []string
	Extension              []extension
}

type element struct {
	Path             string
	Short            string
	IsModifierReason string
	Base             struct{ Path string }
	Min              int
	Max              string
	Type             []typeRef
	ContentReference string
	Representation   []string
	IsModifier       bool
	IsSummary        bool
	Binding          *struct{ Strength, ValueSet string }
	Constraint       []constraint
}

type constraint struct{ Key, Severity, Human, Expression string }

type search struct {
	URL, Version, Code, Type, Expression string
	Base, Target, Comparator, Modifier   []string
	Component                            []struct{ Definition, Expression string }
}

type compartment struct {
	URL, Code string
	Resource  []struct {
		Code  string
		Param []string
	}
}

type concept struct {
	Code, Display, Definition string
	Designation               []designation
	Property                  []property
	Concept                   []concept
}

// UnmarshalJSON refuses a concept with members that are not known.
func (c *concept) UnmarshalJSON(raw []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return err
	}
	for name := range members {
		if _, ok := knownOfConcept[name]; !ok {
			return fmt.Errorf("concept %s has a %s, which the index has no place for", members["code"], name)
		}
	}
	type plain concept
	return json.Unmarshal(raw, (*plain)(c))
}

type designation struct {
	Language, Value string
	Use             struct{ System, Code string }
}

type property struct {
	Code, ValueCode, ValueString, ValueDateTime string
	ValueBoolean                                *bool
}

type codeSystem struct {
	URL, ID, Version, Name, Title, Status, Content, HierarchyMeaning, ValueSet string

	CaseSensitive *bool
	Property      []struct{ Code, Type, URI string }
	Concept       []concept
}

type include struct {
	System, Version string
	Concept         []concept
	ValueSet        []string
	Filter          []struct{ Property, Op, Value string }
}

type valueSet struct {
	URL, ID, Version, Name, Title, Status string

	Compose struct {
		Inactive         *bool
		Include, Exclude []include
	}
}

// read adds the resources of one Bundle file. What is already there stays: the
// files that come first are the ones of HL7's own release.
func (in *source) read(file string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var bundle struct {
		Entry []struct{ Resource json.RawMessage }
	}
	if err := json.Unmarshal(raw, &bundle); err != nil {
		return err
	}
	if in.valueSets == nil {
		in.valueSets, in.systems, in.conceptMaps = map[string]*valueSet{}, map[string]*codeSystem{}, map[string]*conceptMap{}
	}
	for _, e := range bundle.Entry {
		var head struct{ ResourceType, URL string }
		if err := json.Unmarshal(e.Resource, &head); err != nil {
			return err
		}
		if err := in.add(head.ResourceType, head.URL, e.Resource); err != nil {
			return fmt.Errorf("%s %s: %w", head.ResourceType, head.URL, err)
		}
	}
	return nil
}

func (in *source) add(resourceType, url string, raw json.RawMessage) error {
	switch resourceType {
	case "StructureDefinition":
		s := new(structure)
		in.structures = append(in.structures, s)
		return json.Unmarshal(raw, s)
	case "SearchParameter":
		s := new(search)
		in.searches = append(in.searches, s)
		return json.Unmarshal(raw, s)
	case "CompartmentDefinition":
		c := new(compartment)
		in.compartments = append(in.compartments, c)
		return json.Unmarshal(raw, c)
	case "ValueSet":
		if in.valueSets[url] == nil {
			in.valueSets[url] = new(valueSet)
			return json.Unmarshal(raw, in.valueSets[url])
		}
	case "ConceptMap":
		if in.conceptMaps[url] == nil {
			in.conceptMaps[url] = new(conceptMap)
			return json.Unmarshal(raw, in.conceptMaps[url])
		}
	case "CodeSystem":
		if in.systems[url] == nil {
			in.systems[url] = new(codeSystem)
			return json.Unmarshal(raw, in.systems[url])
		}
	}
	return nil
}
