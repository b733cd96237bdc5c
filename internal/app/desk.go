package app

import (
	"context"
	"net/http"
)

func (a *App) openDesk(context.Context) error { return nil }

func (a *App) serveDesk(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }
