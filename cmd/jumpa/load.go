package main

import (
	"context"
	"time"

	"github.com/jumpa-hie/jumpa/internal/play"
)

type loadCommand struct {
	target
	Kind     string        `arg:"" enum:"checkin,fhir" help:"checkin: a burst of check-ins at a fixed rate. fhir: durable writes, then reads, as fast as they are answered."`
	Rate     int           `default:"200" help:"Check-ins a second."`
	Clients  int           `default:"64" help:"Simultaneous callers of the FHIR interface."`
	Duration time.Duration `default:"60s" help:"Length of each measured part."`
	Nodes    []string      `placeholder:"URL,…" help:"URLs of further nodes of the exchange: requests go to all of them in turn."`
}

// Run measures and fails when a request failed or an event was lost.
func (l loadCommand) Run(ctx context.Context) error {
	cast, err := l.cast()
	if err != nil {
		return err
	}
	o, err := playOptions(cast, "VCI")
	if err != nil {
		return err
	}
	load := play.Load{Options: o, Rate: max(1, l.Rate), Clients: max(1, l.Clients), Duration: max(time.Second, l.Duration), Nodes: l.Nodes}
	if l.Kind == "fhir" {
		return load.FHIR(ctx)
	}
	return load.CheckIns(ctx)
}
