package main

import (
	"context"
	"fmt"
	"os"

	"github.com/jumpa-hie/jumpa/internal/app"
)

type registerCommand struct {
	ClientID     string `arg:"" help:"Id that the source system signs in with."`
	Organization string `required:"" help:"Id of the Organization that the source system belongs to."`
	Name         string `help:"What people call the source system (default: the client id)."`
	Email        string `help:"E-mail address for the notification API; without it there is no such login."`
	at
}

// Run lets a source system in and prints its secrets, once.
func (c registerCommand) Run(ctx context.Context) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	if c.Name == "" {
		c.Name = c.ClientID
	}
	s, err := app.Register(ctx, cfg, app.Registration{ClientID: c.ClientID, Name: c.Name, Organization: c.Organization, Email: c.Email})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(os.Stdout, "client id      %s\nclient secret  %s\n", c.ClientID, s.ClientSecret)
	if err == nil && s.Password != "" {
		_, err = fmt.Fprintf(os.Stdout, "e-mail         %s\npassword       %s\n", c.Email, s.Password)
	}
	return err
}
