package play

import (
	"context"
	"fmt"
	"io"
	"time"
)

// Options say against what to play and where to report.
type Options struct {
	Server  string // URL of the exchange
	Kafka   []string
	Client  Client    // source system
	Service string    // id of the HealthcareService
	Doctor  string    // name of the practitioner in the call
	People  []Person  // patients with activated RekodSaya
	Out     io.Writer // where the steps are told
}

// Client is the credential of a source system.
type Client struct {
	ID, Secret, Organization string
	Topics                   []string // that it may read; the usual one of its Encounters when empty
}

// Person is a patient who can sign in.
type Person struct{ ID, Name, IdentityNumber, Code string }

// steps of both flows.
const steps = 12

// stepLimit bounds a step; media on a busy machine may need seconds.
const stepLimit = 45 * time.Second

// script tells and counts the steps of a flow.
type script struct {
	out  io.Writer
	next int
}

// step takes the next numbered step: do it, and say what was observed. The
// first failure ends the play.
func (s *script) step(ctx context.Context, title string, do func(ctx context.Context) (observed string, err error)) error {
	s.next++
	ctx, cancel := context.WithTimeout(ctx, stepLimit)
	defer cancel()
	start := time.Now()
	observed, err := do(ctx)
	if err != nil {
		fmt.Fprintf(s.out, "%2d  FAILED  %s\n", s.next, title)
		return fmt.Errorf("step %d (%s): %w", s.next, title, err)
	}
	fmt.Fprintf(s.out, "%2d  %s\n      observed in %v: %s\n", s.next, title, time.Since(start).Round(time.Millisecond), observed)
	return nil
}

// hidden shows that there is a token without telling it.
func hidden(token string) string {
	if len(token) < 8 {
		return "…"
	}
	return "…" + token[len(token)-4:]
}
