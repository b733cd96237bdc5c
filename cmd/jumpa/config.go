package main

import (
	"fmt"

	"github.com/jumpa-hie/jumpa/internal/app"
)

type configCommand struct {
	Example bool `help:"Print a file for --config in which every setting stands with its default."`
}

// Run prints every setting with its variable and default, as Markdown or as a
// file of settings.
func (c configCommand) Run() error {
	text := app.Reference()
	if c.Example {
		text = app.Example()
	}
	_, err := fmt.Print(text)
	return err
}
