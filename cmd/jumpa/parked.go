package main

import (
	"context"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/jumpa-hie/jumpa/internal/app"
)

type parkedCommand struct {
	at
	Replay []int64 `placeholder:"SEQ" help:"Publish these again, each in its old place."`
}

// Run lists the events that the brokers have refused, or replays some.
func (c parkedCommand) Run(ctx context.Context) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	if len(c.Replay) > 0 {
		if err := app.Replay(ctx, cfg, c.Replay...); err != nil {
			return err
		}
		_, err := fmt.Printf("%d events are pending again.\n", len(c.Replay))
		return err
	}
	list, err := app.Parked(ctx, cfg)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "SEQ\tPARKED\tTOPIC\tRECORD\tBYTES\tREASON")
	for _, p := range list {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%d\t%s\n", p.Seq, p.At.Format(time.RFC3339), p.Topic, p.Key, len(p.Value), p.Reason)
	}
	return w.Flush()
}
