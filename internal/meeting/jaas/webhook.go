package jaas

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsi/roster"
)

const (
	maxWebhook     = 256 << 10
	admitTimeout   = 3 * time.Second
	choresTimeout  = 15 * time.Second
	signatureLimit = 24 * time.Hour // JaaS sends again for hours what was not taken
)

// webhook is what JaaS sends. Duplicates have the same key; the timestamp,
// not the arrival, says what came first.
type webhook struct {
	Key       string `json:"idempotencyKey"`
	AppID     string `json:"appId"`
	Type      string `json:"eventType"`
	Session   string `json:"sessionId"`
	Timestamp int64  `json:"timestamp"` // ms
	FQN       string `json:"fqn"`       // AppID/room
	Data      struct {
		ID          string `json:"id"` // of the token
		Name        string `json:"name"`
		Participant string `json:"participantId"`
		IsBreakout  bool   `json:"isBreakout"`
	} `json:"data"`
}

func (e webhook) at() time.Time { return time.UnixMilli(e.Timestamp) }
func (e webhook) stay() string  { return e.Session + "\x00" + e.Data.Participant }

// Handler takes in JaaS's webhooks at POST /jaas/events.
func (d *Driver) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /jaas/events", d.take)
	return mux
}

func (d *Driver) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxWebhook))
	if err != nil {
		http.Error(w, "The event cannot be read.", http.StatusBadRequest)
		return
	}
	if !d.signed(r.Header.Get("X-Jaas-Signature"), body) {
		http.Error(w, "This address is for JaaS.", http.StatusUnauthorized)
		return
	}
	var e webhook
	if json.Unmarshal(body, &e) != nil || e.Type == "" || e.Key == "" {
		http.Error(w, "The event cannot be read.", http.StatusBadRequest)
		return
	}
	switch err := d.handle(r.Context(), e); {
	case errors.Is(err, errMalformed):
		http.Error(w, "The event cannot be read.", http.StatusBadRequest)
		return
	case err != nil: // JaaS sends it again
		d.opts.Log.Warn("a webhook could not be taken in", "type", e.Type, "error", err)
		http.Error(w, "Please try again in a moment.", http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// signed checks "t=<unix>,v1=<base64>": an HMAC over t, a dot and the body.
// Other schemes are ignored; during a change of secret there are two of v1.
func (d *Driver) signed(header string, body []byte) bool {
	var stamp string
	var shown [][]byte
	for part := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "t":
			stamp = value
		case "v1":
			if mac, err := base64.StdEncoding.DecodeString(value); err == nil {
				shown = append(shown, mac)
			}
		}
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || d.opts.Clock().Sub(time.Unix(seconds, 0)).Abs() > signatureLimit {
		return false
	}
	mac := hmac.New(sha256.New, []byte(d.opts.WebhookSecret))
	mac.Write([]byte(stamp + "."))
	mac.Write(body)
	want := mac.Sum(nil)
	for _, s := range shown {
		if hmac.Equal(s, want) {
			return true
		}
	}
	return false
}

var errMalformed = errors.New("jaas: an event without what it needs")

func (d *Driver) handle(ctx context.Context, e webhook) error {
	tenant, room, _ := strings.Cut(e.FQN, "/")
	if e.AppID != d.opts.AppID || tenant != d.opts.AppID || checkRoom(room) != nil || e.Data.IsBreakout {
		return nil
	}
	switch e.Type {
	case "ROOM_DESTROYED", "PARTICIPANT_JOINED", "PARTICIPANT_LEFT":
	default:
		return nil
	}
	if e.Timestamp <= 0 || d.opts.Clock().Sub(e.at()).Abs() > kept {
		return errMalformed
	}
	if e.Type == "ROOM_DESTROYED" {
		return d.people.Destroyed(ctx, room, e.at())
	}
	if e.Session == "" || e.Data.Participant == "" {
		return errMalformed
	}
	p, ours := d.seal.Open(room, e.Data.ID)
	p.Name = shorten(e.Data.Name)
	if e.Type == "PARTICIPANT_LEFT" {
		if !ours {
			return d.people.Gone(ctx, room, e.stay())
		}
		return d.people.Left(ctx, room, e.stay(), p, e.at())
	}
	known, refused, err := d.people.Knows(ctx, room, e.stay())
	if err != nil || refused {
		return err
	}
	if !ours {
		d.opts.Log.Warn("somebody without credentials of the exchange is in a call", "room", room)
		return d.putOut(ctx, room, e, p)
	}
	if !known {
		ended, err := d.people.Ended(ctx, room)
		if err == nil && !ended {
			err = d.admit(ctx, room, p)
		}
		if ended || err != nil && final(err) {
			d.opts.Log.Warn("somebody is in a call who may not be, and will be removed", "room", room, "role", p.Role)
			return d.putOut(ctx, room, e, p)
		}
		if err != nil {
			return err
		}
	}
	return d.people.Joined(ctx, room, e.stay(), p, e.at())
}

func (d *Driver) admit(ctx context.Context, room string, p meeting.Person) error {
	a := d.currentAdmission()
	if a == nil {
		return fhir.Errorf(fhir.CodeTransient, "", "The exchange is starting.")
	}
	ctx, cancel := context.WithTimeout(ctx, admitTimeout)
	defer cancel()
	return a.Admit(ctx, room, p)
}

// final tells a refusal from a failure that may pass.
func final(err error) bool {
	var e *fhir.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case fhir.CodeTransient, fhir.CodeTimeout, fhir.CodeException, fhir.CodeThrottled:
		return false
	}
	return true
}

// putOut notes that somebody may not be in and bans them: now, by this node,
// and if that does not help by whoever has the chores.
func (d *Driver) putOut(ctx context.Context, room string, e webhook, p meeting.Person) error {
	out := roster.Outsider{Room: room, Key: e.stay(), User: e.Data.ID}
	if err := d.people.Refuse(ctx, out, p, e.at()); err != nil {
		return err
	}
	d.rounds.Soon(out)
	return nil
}

// Start begins to ban who should not be in, until Stop or the end of ctx.
func (d *Driver) Start(ctx context.Context) error { return d.rounds.Start(ctx) }

// Stop waits until the chores have ended. The calls go on.
func (d *Driver) Stop() {
	d.rounds.Stop()
	d.client.CloseIdleConnections()
}

// Chores bans once who should not be in, and forgets what is old. It is for
// one node at a time and takes 15 s at most.
func (d *Driver) Chores(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, choresTimeout)
	defer cancel()
	list, err := d.people.Outsiders(ctx)
	if err != nil {
		d.opts.Log.Error("it is not known who is to be removed from calls", "error", err)
	}
	for _, o := range list {
		if ctx.Err() != nil || !d.remove(ctx, o) {
			break
		}
	}
	if err := d.people.Sweep(ctx); err != nil {
		d.opts.Log.Error("old calls could not be put away", "error", err)
	}
}

// remove bans somebody; false says that JaaS needs a rest. Whoever came without
// an id cannot be banned.
func (d *Driver) remove(ctx context.Context, o roster.Outsider) bool {
	if o.User == "" {
		return true
	}
	err := d.ban(ctx, o.User)
	if err != nil && !errors.Is(err, errResting) {
		d.opts.Log.Warn("somebody could not be removed from a call yet", "room", o.Room, "error", err)
	}
	return !errors.Is(err, errResting)
}
