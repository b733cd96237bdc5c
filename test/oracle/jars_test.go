// Package oracle lets programs of others judge what Jumpa says: HL7's validator
// and its FHIRPath suite, HAPI's client and parsers, and HL7's FHIRPath engine
// for JavaScript. Where they and Jumpa disagree, a table of this folder says
// why; a difference without a reason, and a reason without a difference, fail.
// `make deps` fetches what it needs.
package oracle

import (
	"archive/zip"
	"io"
	"path/filepath"
	"testing"

	"github.com/jumpa-hie/jumpa/fhir"
)

// jar opens a jar of pom.xml by the beginning of its name.
func jar(t *testing.T, name string) *zip.ReadCloser {
	t.Helper()
	paths, _ := filepath.Glob("target/lib/" + name + "-[0-9]*.jar")
	if len(paths) != 1 {
		t.Fatalf("%d jars are named %s: run `make deps`", len(paths), name)
	}
	z, err := zip.OpenReader(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = z.Close() })
	return z
}

// fhirFiles are the test cases of HL7 for all versions of FHIR.
type fhirFiles struct{ *zip.ReadCloser }

func testCases(t *testing.T) fhirFiles { return fhirFiles{jar(t, "fhir-test-cases")} }

// read gives a file, such as r4/patient-example.xml.
func (z fhirFiles) read(t *testing.T, name string) []byte {
	t.Helper()
	f, err := z.Open("org/hl7/fhir/testcases/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	raw, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func parsed(t *testing.T, raw []byte) *fhir.Document {
	t.Helper()
	doc, err := fhir.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}
