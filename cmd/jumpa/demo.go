package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/jumpa-hie/jumpa/internal/app"
	"github.com/jumpa-hie/jumpa/internal/play"
)

// target says which running exchange a command talks to.
type target struct {
	Server string `placeholder:"URL" help:"URL of the exchange (default: the one in demo.json)."`
	Data   string `default:"jumpa-data" placeholder:"DIR" help:"Data directory of the exchange, for its demo credentials."`
}

// cast reads the demo credentials, with the server that the flag names.
func (t target) cast() (app.Credentials, error) {
	c, err := app.ReadCredentials(t.Data)
	if t.Server != "" {
		c.Server = strings.TrimSuffix(t.Server, "/")
	}
	return c, err
}

type demoCommand struct {
	target
	Flow string `arg:"" enum:"vci,vce" help:"vci: one patient; vce: a group."`
}

// Run plays the flow and fails unless all of its steps were observed.
func (d demoCommand) Run(ctx context.Context) error {
	cast, err := d.cast()
	if err != nil {
		return err
	}
	fmt.Printf("Playing %s against %s\n", strings.ToUpper(d.Flow), cast.Server)
	o, err := playOptions(cast, strings.ToUpper(d.Flow))
	if err != nil {
		return err
	}
	if d.Flow == "vce" {
		return play.VCE(ctx, o)
	}
	return play.VCI(ctx, o)
}

// playOptions takes the parts from the demo's cast. The first patients are
// left to the people who try the pages by hand.
func playOptions(c app.Credentials, serviceType string) (play.Options, error) {
	if len(c.Clients) == 0 || len(c.Practitioners) == 0 {
		return play.Options{}, &app.UsageError{Line: "--data: demo.json names no source system"}
	}
	client := c.Clients[0]
	o := play.Options{
		Server: c.Server, Kafka: strings.Split(c.Kafka, ","), Doctor: c.Practitioners[0].Name, Out: os.Stdout,
		Client: play.Client{ID: client.ClientID, Secret: client.ClientSecret, Organization: client.Organization, Topics: client.Topics},
	}
	for _, s := range c.HealthcareServices {
		if s.Organization == client.Organization && s.ServiceType == serviceType {
			o.Service = s.ID
		}
	}
	for i := len(c.Patients) - 1; i >= 0; i-- {
		if p := c.Patients[i]; p.RekodSaya {
			o.People = append(o.People, play.Person{ID: p.ID, Name: p.Name, IdentityNumber: p.IdentityNumber, Code: p.SignInCode})
		}
	}
	return o, nil
}
