package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/jumpa-hie/jumpa/internal/app"
)

// flags are the settings that up and serve share; those that are not given
// come from the environment, then from the file, then from the defaults.
type flags struct {
	Config      string `placeholder:"FILE" help:"File of settings: one NAME=value a line, or a mapping in .yaml, .yml or .json; see jumpa config."`
	Data        string `placeholder:"DIR" help:"Directory of the database, the broker's log and the demo credentials (default ./jumpa-data)."`
	Listen      string `placeholder:"HOST:PORT" help:"Address of the HTTP server (default 127.0.0.1:8080)."`
	KafkaListen string `placeholder:"HOST:PORT" help:"Address of the embedded Kafka-protocol broker (default 127.0.0.1:9092)."`
	UDPListen   string `name:"udp-listen" placeholder:"HOST:PORT" help:"Address of the UDP port for calls (default 127.0.0.1:10000)."`

	KafkaContinue bool `help:"Start once behind messages that the embedded broker has lost."`
}

func (f flags) config() (app.Config, error) {
	cfg, err := app.Read(f.Config, os.LookupEnv)
	cfg.KafkaContinue = f.KafkaContinue
	for _, s := range []struct {
		flag string
		to   *string
	}{{f.Data, &cfg.Data}, {f.Listen, &cfg.Listen}, {f.KafkaListen, &cfg.KafkaListen}, {f.UDPListen, &cfg.UDPListen}} {
		if s.flag != "" {
			*s.to = s.flag
		}
	}
	return cfg, err
}

type upCommand struct {
	flags
	NoDemo bool `help:"No demo people and appointments."`
}

// Run starts everything and prints where it is and who can sign in.
func (c upCommand) Run(ctx context.Context) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	cfg.Demo = !c.NoDemo
	return run(ctx, cfg)
}

type serveCommand struct{ flags }

// Run starts an exchange without demo data.
func (c serveCommand) Run(ctx context.Context) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	cfg.Demo = false
	return run(ctx, cfg)
}

func run(ctx context.Context, cfg app.Config) error {
	log, err := cfg.Logger(os.Stderr)
	if err != nil {
		return err
	}
	a, err := app.Start(ctx, cfg, log)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) { // told to stop before it was up
		return nil
	}
	if err != nil {
		return err
	}
	defer a.Stop()
	welcome(a)
	select {
	case <-ctx.Done():
		fmt.Println("\nStopping.")
		return nil
	case err := <-a.Failed():
		return err
	}
}

// welcome prints the addresses and, in a demo, the logins.
func welcome(a *app.App) {
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	defer func() { _ = w.Flush() }()
	url := a.URL()
	fmt.Fprintln(w, "Jumpa is up. Stop it with Ctrl-C.")
	fmt.Fprintln(w)
	fmt.Fprintf(w, "RekodSaya (patients)\t%s/rekodsaya/\n", url)
	cast, demo := a.Credentials()
	if demo {
		fmt.Fprintf(w, "Desk (practitioners)\t%s/desk/\n", url)
	}
	fmt.Fprintf(w, "FHIR R4\t%s/baseR4/metadata\n", url)
	fmt.Fprintf(w, "Jitsi session API\t%s/jitsi/v1/sessions\n", url)
	fmt.Fprintf(w, "Notification API\t%s/api/v2/notification-script\n", url)
	fmt.Fprintf(w, "Kafka\t%s\n", a.Kafka())
	if !demo {
		return
	}
	fmt.Fprintf(w, "Credentials for scripts\t%s\n", a.CredentialsFile())
	fmt.Fprintln(w)
	fmt.Fprintln(w, "Patient\tIdentity number\tSign-in code\tRekodSaya")
	for _, p := range cast.Patients {
		state := "activated"
		if !p.RekodSaya {
			state = "not activated"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", p.Name, p.IdentityNumber, p.SignInCode, state)
	}
	fmt.Fprintln(w)
	fmt.Fprintln(w, "Practitioner\tUser name\tPassword\tOrganisation")
	for _, p := range cast.Practitioners {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", p.Name, p.Username, p.Password, p.Organization)
	}
}
