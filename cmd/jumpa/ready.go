package main

import (
	"context"
	"fmt"

	"github.com/jumpa-hie/jumpa/internal/app"
)

type readyCommand struct {
	Config string `placeholder:"FILE" help:"File of settings of the node; see jumpa config."`
	Listen string `placeholder:"HOST:PORT" help:"Address of the node (default 127.0.0.1:8080)."`
}

// Run asks the node on this machine whether it is ready.
func (c readyCommand) Run(ctx context.Context) error {
	cfg, err := flags{Config: c.Config, Listen: c.Listen}.config()
	if err != nil {
		return err
	}
	if err := app.Ready(ctx, cfg); err != nil {
		return err
	}
	_, err = fmt.Println("ready")
	return err
}
