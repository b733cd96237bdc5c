package app

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"os"

	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/meeting/jaas"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsi"
	"github.com/jumpa-hie/jumpa/internal/meeting/room"
	"github.com/jumpa-hie/jumpa/internal/store"
)

// calls is a meeting provider with what the program needs of it beyond the
// contract.
type calls interface {
	meeting.Provider
	SetAdmission(meeting.Admission)
	Start(context.Context) error
	Stop()
	Handler() http.Handler
	Counts(context.Context) (rooms, people int, err error)
}

// paths are those that a provider's handler serves.
var paths = map[string][]string{
	"room":  {"/room/"},
	"jitsi": {"/jitsi/asap/", "/jitsi/reservation/", "/jitsi/events/"},
	"jaas":  {"/jaas/"},
}

// checkCalls refuses settings of calls that cannot work.
func (c Config) checkCalls() error {
	needed := []struct{ name, value string }{}
	switch c.MeetingProvider {
	case "room":
		return nil
	case "jitsi":
		needed = append(needed, []struct{ name, value string }{
			{"JUMPA_JITSI_DOMAIN", c.JitsiDomain}, {"JUMPA_JITSI_CONTROL_URL", c.JitsiControlURL}, {"JUMPA_JITSI_BEARER", c.JitsiBearer},
		}...)
	case "jaas":
		needed = append(needed, []struct{ name, value string }{
			{"JUMPA_JAAS_APP_ID", c.JaaSAppID}, {"JUMPA_JAAS_KEY_ID", c.JaaSKeyID}, {"JUMPA_JAAS_KEY_FILE", c.JaaSKeyFile},
			{"JUMPA_JAAS_WEBHOOK_SECRET", c.JaaSWebhookSecret},
		}...)
	default:
		return usage("JUMPA_MEETING_PROVIDER: %q is none of room, jitsi and jaas", c.MeetingProvider)
	}
	for _, n := range needed {
		if n.value == "" {
			return usage("%s: needed for JUMPA_MEETING_PROVIDER=%s", n.name, c.MeetingProvider)
		}
	}
	return nil
}

// openCalls starts the provider that the configuration names.
func (a *App) openCalls(ctx context.Context) error {
	key, err := a.key(ctx, "room.key")
	if err != nil {
		return err
	}
	switch a.cfg.MeetingProvider {
	case "jitsi":
		a.calls, err = jitsi.New(jitsi.Options{
			Domain: a.cfg.JitsiDomain, XMPPDomain: a.cfg.JitsiXMPPDomain, MUC: a.cfg.JitsiMUC, AppID: a.cfg.JitsiAppID,
			ControlURL: a.cfg.JitsiControlURL, Bearer: a.cfg.JitsiBearer, SharedSecret: []byte(a.cfg.JitsiSharedSecret),
			Store: a.store, Vault: vault{a.store}, Secret: key, Transport: func(to http.RoundTripper) http.RoundTripper { return a.trace.Transport("video system", to) },
			Duty: a.mine(dutyCalls), Clock: a.clock, Log: a.log,
		})
		if err != nil {
			return usage("JUMPA_JITSI_…: %v", err)
		}
	case "jaas":
		private, err := readKey(a.cfg.JaaSKeyFile)
		if err != nil {
			return usage("JUMPA_JAAS_KEY_FILE: %v", err)
		}
		a.calls, err = jaas.New(jaas.Options{
			AppID: a.cfg.JaaSAppID, KeyID: a.cfg.JaaSKeyID, Key: private, WebhookSecret: a.cfg.JaaSWebhookSecret,
			Store: a.store, Secret: key, Duty: a.mine(dutyCalls), Clock: a.clock, Log: a.log,
		})
		if err != nil {
			return usage("JUMPA_JAAS_…: %v", err)
		}
	default:
		if err := a.alone(ctx, dutyCalls, "JUMPA_MEETING_PROVIDER: another node with embedded calls uses this database; several nodes need Jitsi Meet"); err != nil {
			return err
		}
		a.calls, err = room.New(room.Options{PublicURL: a.URL, UDPAddr: a.cfg.UDPListen, Secret: key, Clock: a.clock, Log: a.log})
		if err != nil {
			return err
		}
	}
	if err := a.calls.Start(context.WithoutCancel(ctx)); err != nil {
		return taken("--udp-listen", a.cfg.UDPListen, err)
	}
	a.onStop(a.calls.Stop)
	return nil
}

// frames gives the origin of the calls' page, "" when it is the exchange's own.
func (c Config) frames() string {
	switch c.MeetingProvider {
	case "jitsi":
		return "https://" + c.JitsiDomain
	case "jaas":
		return "https://8x8.vc"
	}
	return ""
}

// readKey reads a private key of RSA; the error shows nothing of it.
func readKey(file string) (*rsa.PrivateKey, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, cause(err)
	}
	none := errors.New("the file has no private key of RSA in PEM")
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, none
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, none
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, none
	}
	return key, nil
}

// vault keeps the keys of a provider in the store.
type vault struct{ store store.Store }

func (v vault) Update(ctx context.Context, name string, change func([]byte) ([]byte, error)) error {
	return v.store.Update(ctx, func(tx store.Tx) error {
		old, err := tx.Setting(name)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		changed, err := change(old)
		if err != nil || bytes.Equal(old, changed) {
			return err
		}
		return tx.PutSetting(name, changed)
	})
}
