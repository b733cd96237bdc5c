// Command jumpa runs a Health Information Exchange for virtual consultations.
//
//	jumpa up              everything on one machine, with demo data
//	jumpa serve           an exchange without demo data
//	jumpa register        let a source system in and print its secrets
//	jumpa demo vci|vce    play a whole consultation against a running exchange
//	jumpa listen          print what arrives on the topics of an organisation
//	jumpa load            drive check-in bursts and FHIR traffic, and measure
//	jumpa validate FILE…  judge MY Core records by the rules of the exchange
//	jumpa check           look at a configuration and everything that it names
//	jumpa ready           ask the node on this machine whether it is ready
//	jumpa parked          list the events that the brokers refuse, or replay them
//	jumpa migrate         bring the database to the schema of this program
//	jumpa config          print the settings, as docs/configuration.md has them
//
// Each command explains its flags with --help. Every mistake in their use is
// answered with one line that names the flag to change, and exit status 2.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/jumpa-hie/jumpa/internal/app"
)

type commands struct {
	Up       upCommand       `cmd:"" help:"Start everything on this machine: exchange, portal, desk, broker, calls, demo data."`
	Serve    serveCommand    `cmd:"" help:"Start an exchange, configured by a file or environment variables, without demo data."`
	Register registerCommand `cmd:"" help:"Let a source system in, or give it new secrets; over SQLite while the exchange is stopped."`
	Demo     demoCommand     `cmd:"" help:"Play a whole consultation against a running exchange and check every step."`
	Listen   listenCommand   `cmd:"" help:"Print the events of an organisation's topics."`
	Load     loadCommand     `cmd:"" help:"Drive an exchange under load and report what it took."`
	Validate validateCommand `cmd:"" help:"Judge MY Core records from files or standard input."`
	Check    checkCommand    `cmd:"" help:"Look at a configuration and everything that it names; changes nothing."`
	Ready    readyCommand    `cmd:"" help:"Ask the node on this machine whether it is ready, as supervisors of containers do."`
	Parked   parkedCommand   `cmd:"" help:"List the events that the brokers refuse, or replay them."`
	Migrate  migrateCommand  `cmd:"" help:"Bring the database to the schema of this program, as every start does."`
	Config   configCommand   `cmd:"" help:"Print the configuration reference."`
}

func main() { os.Exit(execute(os.Args[1:])) }

// execute runs a command line and gives the exit status: 1 for a failure, 2
// for a mistake that the user can mend.
func execute(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal does not wait
	var c commands
	parser := kong.Must(&c, kong.Name("jumpa"), kong.Description("Virtual consultations for a Health Information Exchange."),
		kong.BindTo(ctx, (*context.Context)(nil)))
	if len(args) == 0 {
		args = []string{"--help"}
	}
	k, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "jumpa: %v; see jumpa --help\n", err)
		return 2
	}
	if err := k.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "jumpa:", err)
		var mistake *app.UsageError
		if errors.As(err, &mistake) {
			return 2
		}
		return 1
	}
	return 0
}
