package main

import (
	"fmt"

	"github.com/jumpa-hie/jumpa/internal/app"
)

type configCommand struct {
	Example bool `xor:"what" help:"Print a file for --config in which every setting stands with its default."`
	Topics  bool `xor:"what" help:"Print a file for JUMPA_TOPICS with the topics that there are without one."`
}

// Run prints every setting with its variable and default, as Markdown or as a
// file of settings, or the topics.
func (c configCommand) Run() error {
	text := app.Reference()
	var err error
	switch {
	case c.Example:
		text = app.Example()
	case c.Topics:
		text, err = app.TopicsExample()
	}
	if err != nil {
		return err
	}
	_, err = fmt.Print(text)
	return err
}
