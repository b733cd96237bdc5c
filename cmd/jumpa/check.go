package main

import (
	"context"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/jumpa-hie/jumpa/internal/app"
)

// at are the flags of commands that look after an installation.
type at struct {
	Config string `placeholder:"FILE" help:"File of settings: one NAME=value a line, or a mapping in .yaml, .yml or .json; see jumpa config."`
	Data   string `placeholder:"DIR" help:"Directory of the database (default ./jumpa-data)."`
}

func (a at) config() (app.Config, error) {
	cfg, err := flags{Config: a.Config, Data: a.Data}.config()
	cfg.Demo = false
	return cfg, err
}

type checkCommand struct{ at }

// Run prints a line for each part of the installation; one that fails is an
// error.
func (c checkCommand) Run(ctx context.Context) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	failed := 0
	for _, f := range app.Check(ctx, cfg) {
		verdict := "ok"
		switch {
		case !f.OK:
			verdict = "FAILED"
			failed++
		case f.Odd:
			verdict = "warning"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", verdict, f.Part, f.Says)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d checks have failed", failed)
	}
	return nil
}

type migrateCommand struct{ at }

// Run brings the database to the schema of this program, and leaves a newer one
// as it is.
func (c migrateCommand) Run(ctx context.Context) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	if err := app.Migrate(ctx, cfg); err != nil {
		return err
	}
	_, err = fmt.Println("The database has the schema of this program, or a newer one with which it works.")
	return err
}
