package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/notify"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/web/portal"
	"github.com/jumpa-hie/jumpa/mycore"
)

// access is who can come in.
type access struct {
	tokens   *auth.Tokens
	browsers *auth.Browsers
	notify   *notify.Service
	codes    *codeInbox // nil when codes are really delivered
}

func (a *App) openAccess(ctx context.Context) error {
	refuseDemo := !a.cfg.loopback()
	tokens, err := auth.OpenTokens(ctx, auth.TokenOptions{Store: a.store, Clock: a.clock, Issuer: a.URL, RefuseDemo: refuseDemo, Shared: a.cfg.shared()})
	if err != nil {
		return err
	}
	var courier auth.Courier
	if a.cfg.CodeCourierURL != "" {
		courier = &webhook{url: a.cfg.CodeCourierURL, client: &http.Client{Timeout: 10 * time.Second}}
	} else {
		a.access.codes = &codeInbox{clock: a.clock}
		courier = a.access.codes
	}
	a.access.tokens = tokens
	a.access.browsers = auth.OpenBrowsers(&auth.Browsers{
		Store: a.store, Courier: courier, Directory: directory{a.store}, Normalize: mycore.NormalizeIdentityNumber,
		Clock: a.clock, Log: a.log, RefuseDemo: refuseDemo, Shared: a.cfg.shared(),
	})
	a.onStop(a.access.browsers.Stop)
	a.access.notify = &notify.Service{Store: a.store, Hub: a.hub, Clock: a.clock}
	return nil
}

// accounts stores the logins of the demo.
func (a *App) accounts(ctx context.Context) error {
	now := a.clock()
	return a.store.Update(ctx, func(tx store.Tx) error {
		for _, c := range a.cast.Clients {
			err := auth.PutClient(tx, now, auth.SourceSystem{
				ClientID: c.ClientID, Name: c.Name, Organization: c.Organization, Secret: c.ClientSecret,
				Scopes: clientScopes, Email: c.Email, Password: c.Password, Demo: true,
			})
			if err != nil {
				return err
			}
		}
		for _, p := range a.cast.Patients {
			err := auth.PutDemoPatient(tx, now, auth.DemoPatient{
				ID: "rekodsaya-" + p.ID, IdentityNumber: p.IdentityNumber, Name: p.Name, Code: p.SignInCode, Active: p.RekodSaya,
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// directory finds people by their Patient records.
type directory struct{ store store.Store }

// Known implements auth.Directory.
func (d directory) Known(ctx context.Context, identityNumber string) (name string, ok bool, err error) {
	err = d.store.View(ctx, func(r store.Reader) error {
		page, err := r.Search(notify.ByIdentityNumber(identityNumber, "", 1))
		if err != nil || len(page.Resources) == 0 {
			return err
		}
		doc, err := fhir.Parse(page.Resources[0].Body)
		if err != nil {
			return err
		}
		name, ok = mycore.PatientName(doc), true
		return nil
	})
	return name, ok, err
}

// codeInbox shows one-time codes on the development page instead of sending
// them. It is used on loopback only.
type codeInbox struct {
	clock func() time.Time
	mu    sync.Mutex
	list  []portal.DevMessage
}

const maxCodes = 50 // kept for the development page

// SendCode implements auth.Courier.
func (c *codeInbox) SendCode(_ context.Context, login, code string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, portal.DevMessage{To: masked(login), Code: code, At: c.clock()})
	if len(c.list) > maxCodes {
		c.list = c.list[len(c.list)-maxCodes:]
	}
	return nil
}

// messages gives the codes sent of late, the newest first.
func (c *codeInbox) messages() []portal.DevMessage {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []portal.DevMessage
	for _, m := range slices.Backward(c.list) {
		if c.clock().Sub(m.At) < auth.CodeLife {
			out = append(out, m)
		}
	}
	return out
}

func masked(login string) string {
	if len(login) <= 4 {
		return "••••"
	}
	return strings.Repeat("•", len(login)-4) + login[len(login)-4:]
}

// webhook hands one-time codes to the gateway of the operator, which knows how
// to reach people.
type webhook struct {
	url    string
	client *http.Client
}

// SendCode implements auth.Courier.
func (h *webhook) SendCode(ctx context.Context, login, code string) error {
	body, err := json.Marshal(map[string]string{"identityNumber": login, "code": code})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := h.client.Do(req)
	if err != nil {
		return fhir.Errorf(fhir.CodeTransient, "", "The code could not be sent; try again in a moment.")
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode/100 != 2 {
		return &fhir.Error{
			Code: fhir.CodeTransient, Diagnostics: "The code could not be sent; try again in a moment.",
			Err: fmt.Errorf("the code courier answered %d", resp.StatusCode),
		}
	}
	return nil
}
