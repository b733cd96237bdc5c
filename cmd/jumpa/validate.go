package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/fhir/validate"
	"github.com/jumpa-hie/jumpa/internal/app"
	"github.com/jumpa-hie/jumpa/mycore"
)

type validateCommand struct {
	Strict  bool     `help:"Judge as an exchange with strict validation does."`
	MYCore  string   `name:"mycore" env:"JUMPA_MYCORE" enum:"1.0.0,2024" default:"2024" help:"Line of MY Core's profiles: 1.0.0 or 2024."`
	Profile []string `help:"Profile to judge by besides, by its canonical URL; what it calls an error is one."`
	Files   []string `arg:"" optional:"" help:"Files with one JSON resource each; - or none for standard input."`
}

// Run judges each file and fails when one has errors. It judges a record by
// itself: references are checked by the exchange when the record is sent.
func (c validateCommand) Run() error {
	mode := mycore.Lenient
	if c.Strict {
		mode = mycore.Strict
	}
	if len(c.Files) == 0 {
		c.Files = []string{"-"}
	}
	v := mycore.NewValidator(mycore.Line(c.MYCore), validate.Options{})
	bad := 0
	for _, name := range c.Files {
		if !c.validate(v, name, mode) {
			bad++
		}
	}
	if bad > 0 {
		return &app.UsageError{Line: fmt.Sprintf("%d of %d records have errors", bad, len(c.Files))}
	}
	return nil
}

func (c validateCommand) validate(v *mycore.Validator, name string, mode mycore.Mode) bool {
	raw, err := read(name)
	if err != nil {
		fmt.Printf("%s: %v\n", name, err)
		return false
	}
	doc, err := fhir.Parse(raw)
	if err != nil {
		fmt.Printf("%s: error: %v\n", name, err)
		return false
	}
	issues := v.Receive(context.Background(), doc, mode)
	if len(c.Profile) > 0 {
		issues = v.Answer(context.Background(), doc, mode, c.Profile...)
	}
	for _, i := range issues {
		severity := i.Severity
		if severity == "" {
			severity = fhir.SeverityError
		}
		said := i.Diagnostics
		if !strings.HasPrefix(said, i.Expression) {
			said = i.Expression + ": " + said
		}
		fmt.Printf("%s: %s: %s (%s)\n", name, severity, said, i.Code)
	}
	if issues.Err() != nil {
		return false
	}
	fmt.Printf("%s: %s is valid\n", name, doc.Type())
	return true
}

func read(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(os.Stdin, int64(fhir.DefaultLimits.Bytes)+1))
	}
	return os.ReadFile(name)
}
