package validate

import (
	"context"
	"errors"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/fhirpath"
	"github.com/jumpa-hie/jumpa/fhir/r4"
)

type profile struct{ url string }

func unversioned(url string) string {
	url, _, _ = strings.Cut(url, "|")
	return url
}

func (v *Validator) skippedOfProfiles() []Skipped { return nil }

func (r *run) apply(n fhir.Node, typ string, profiles []string) {}

func (r *run) applyExtension(el *r4.Element, n fhir.Node, url string) {}

// conformance answers conformsTo().
type conformance struct{ r *run }

func (c conformance) ConformsTo(_ context.Context, v fhirpath.Value, url string) (bool, error) {
	return false, errors.New("the profile is not known")
}
