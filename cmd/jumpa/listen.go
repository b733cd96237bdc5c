package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/app"
	"github.com/jumpa-hie/jumpa/source"
)

type listenCommand struct {
	target
	Organization string   `placeholder:"ID" help:"Organisation whose topics to read (default: the first source system of the demo)."`
	Topic        []string `placeholder:"NAME" help:"Topics to read (default: all that the organisation may read)."`
	Group        string   `default:"jumpa-listen" help:"Consumer group: what it has read is not read again."`
	FromStart    bool     `help:"A new group begins with the oldest event instead of the next one."`
	Full         bool     `help:"Print whole notification Bundles, one JSON document a line. They hold clinical records and session tokens."`
	Forward      string   `placeholder:"URL" help:"POST each notification to this address, again until it answers 2xx."`
}

// Run consumes until it is stopped.
func (l listenCommand) Run(ctx context.Context) error {
	cast, err := l.cast()
	if err != nil {
		return err
	}
	if len(cast.Clients) == 0 {
		return &app.UsageError{Line: "--data: demo.json names no source system"}
	}
	client := cast.Clients[0]
	for _, c := range cast.Clients {
		if c.Organization == l.Organization {
			client = c
		}
	}
	if l.Organization == "" {
		l.Organization = client.Organization
	}
	sys, err := source.New(source.Config{
		Server: cast.Server, ClientID: client.ClientID, ClientSecret: client.ClientSecret, Kafka: strings.Split(cast.Kafka, ","),
	})
	if err != nil {
		return err
	}
	err = sys.Consume(ctx, source.ConsumerConfig{
		Group: l.Group, FromStart: l.FromStart,
		Topics: l.topics(client),
	}, l.handle)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // stopped by the user
	}
	return err
}

// topics gives the names of the topics to read.
func (l listenCommand) topics(client app.ClientCredential) []string {
	switch {
	case len(l.Topic) > 0:
		return l.Topic
	case client.Organization == l.Organization && len(client.Topics) > 0:
		return client.Topics
	}
	return []string{source.EncounterTopic(l.Organization), source.AppointmentTopic(l.Organization)}
}

func (l listenCommand) handle(ctx context.Context, e source.Event) error {
	if l.Full {
		fmt.Println(string(e.Bundle.Bytes()))
	} else {
		status := ""
		if e.Focus != nil {
			status = e.Focus.Get("status").String()
		}
		fmt.Printf("%s  %s  %s  %s  %s\n", e.Time.In(fhir.Malaysia).Format(time.RFC3339), e.Topic, e.Type, e.Subject, status)
	}
	if l.Forward == "" {
		return nil
	}
	return forward(ctx, l.Forward, e)
}

// forward hands a notification on; an error has the event delivered again.
func forward(ctx context.Context, url string, e source.Event) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(e.Bundle.Bytes()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/fhir+json")
	req.Header.Set("Ce-Id", e.ID)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		fmt.Fprintln(os.Stderr, "forwarding failed and will be tried again:", err)
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode/100 != 2 {
		fmt.Fprintln(os.Stderr, "forwarding failed and will be tried again: the address answers", resp.Status)
		return fmt.Errorf("the address answers %s", resp.Status)
	}
	return nil
}
