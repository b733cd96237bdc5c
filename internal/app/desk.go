package app

import (
	"context"
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/jumpa-hie/jumpa/internal/web/desk"
	"github.com/jumpa-hie/jumpa/source"
)

// makeDesk makes the desk of the demo's facilities; it stays nil without a
// demo and where demo credentials are refused.
func (a *App) makeDesk() (err error) {
	if !a.cfg.Demo {
		return nil
	}
	o := desk.Options{RoomOrigin: a.cfg.frames(), Secure: strings.HasPrefix(a.URL(), "https:"), Clock: a.clock, Log: a.log}
	for _, c := range a.cast.Clients {
		client, err := source.New(source.Config{
			Server: "http://" + a.listener.Addr().String(), ClientID: c.ClientID, ClientSecret: c.ClientSecret, Kafka: a.brokers,
		})
		if err != nil {
			return err
		}
		o.Organizations = append(o.Organizations, desk.Organization{ID: c.Organization, Name: c.Name, Client: client, Topics: c.Topics})
	}
	for _, p := range a.cast.Practitioners {
		o.Practitioners = append(o.Practitioners, desk.Practitioner{
			ID: p.ID, Name: p.Name, Username: p.Username, Organization: p.Organization,
			Password: func(given string) bool { return subtle.ConstantTimeCompare([]byte(given), []byte(p.Password)) == 1 },
		})
	}
	a.desk, err = desk.New(o)
	return err
}

// openDesk lets the desk begin its work, for which the exchange must listen.
func (a *App) openDesk(ctx context.Context) error {
	if a.desk != nil {
		a.desk.Start(context.WithoutCancel(ctx))
		a.onStop(a.desk.Stop)
	}
	return nil
}

// routeDesk mounts the desk where there is one.
func (a *App) routeDesk(mux *http.ServeMux) {
	if a.desk != nil {
		mux.Handle(desk.Root, a.desk)
	}
}
