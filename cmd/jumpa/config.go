package main

import (
	"fmt"

	"github.com/jumpa-hie/jumpa/internal/app"
)

type configCommand struct{}

// Run prints every setting with its variable and default, as Markdown.
func (configCommand) Run() error {
	_, err := fmt.Print(app.Reference())
	return err
}
