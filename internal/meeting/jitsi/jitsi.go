// Package jitsi lets consultations take place on a Jitsi Meet of one's own.
//
// It mints the tokens that let people in, serves the keys that Prosody
// verifies them with, answers Prosody's reservation requests, takes in its
// events, and ends calls and sees to it that they end. To open a session needs
// no word with Jitsi. Prosody may speak with any node: what has to be known
// from one request to the next is in the store.
package jitsi

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsi/preset"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsi/roster"
	"github.com/jumpa-hie/jumpa/internal/store"
)

const (
	defaultAppID      = "jumpa"
	defaultAudience   = "jitsi"
	defaultXMPPDomain = "meet.jitsi" // of the container images, not the public host
	defaultDuration   = 8 * time.Hour
	minSecret         = 32
)

// Options of a Driver. Domain, ControlURL, Bearer, Secret, Store and
// Vault (or SharedSecret) are required.
type Options struct {
	Domain     string // public host of the Jitsi web app, with a port where needed
	XMPPDomain string // Prosody's main virtual host, "meet.jitsi" when empty
	MUC        string // Prosody's component of the rooms, "muc." and XMPPDomain when empty
	AppID      string // issuer of the tokens, "jumpa" when empty
	Audience   string // "jitsi" when empty

	ControlURL  string // Prosody's HTTP port on the private network
	ControlHost string // the Host that Prosody expects, XMPPDomain when empty
	Bearer      string // what Prosody shows in reservation requests and events; 32 characters or more

	Store  store.Store // of who is in the calls, for all nodes
	Vault  Vault
	Secret []byte // 32 bytes or more; hides who is behind a user id

	// SharedSecret turns on HS256, for development only: whoever is in a call
	// can then end every other where Prosody's HTTP port can be reached.
	SharedSecret []byte

	Duration     time.Duration                             // after which Jitsi ends a call, 8 h when 0
	Transport    func(http.RoundTripper) http.RoundTripper // wraps the one to Prosody; nil leaves it
	MaxOccupants int                                       // of a call; 0 leaves it to Jitsi
	Limits       Limits

	Admission meeting.Admission
	Clock     func() time.Time
	Ticks     <-chan time.Time               // of the reconciliation; every 20 s when nil
	Duty      func(ctx context.Context) bool // whether this node has to reconcile now; nil when there are no others
	Log       *slog.Logger
}

// Limits bound what is done over the network; each has a default.
type Limits struct {
	Call  time.Duration // one request, 2 s
	End   time.Duration // the end of a call with all its attempts, 5 s
	Pause time.Duration // between attempts, 200 ms
	Rest  time.Duration // after a Jitsi did not answer, 10 s
}

func (l Limits) withDefaults() Limits {
	for _, f := range []struct {
		d     *time.Duration
		value time.Duration
	}{{&l.Call, 2 * time.Second}, {&l.End, 5 * time.Second}, {&l.Pause, 200 * time.Millisecond}, {&l.Rest, 10 * time.Second}} {
		if *f.d <= 0 {
			*f.d = f.value
		}
	}
	return l
}

// Driver is the provider. Its methods are safe for concurrent use.
type Driver struct {
	opts    Options
	bearer  [sha256.Size]byte
	logins  *ring
	systems *ring
	seal    *roster.Seal
	people  *roster.Roster
	rounds  *roster.Rounds
	prosody *prosody

	stillOpen atomic.Uint64 // calls found open whose session has ended

	mu        sync.Mutex
	admission meeting.Admission
	silent    bool // the last count failed
}

var _ meeting.Provider = (*Driver)(nil)

// New checks the options and makes a Driver.
func New(opts Options) (*Driver, error) {
	for _, d := range []struct {
		value    *string
		fallback string
	}{
		{&opts.XMPPDomain, defaultXMPPDomain}, {&opts.AppID, defaultAppID}, {&opts.Audience, defaultAudience},
	} {
		if *d.value == "" {
			*d.value = d.fallback
		}
	}
	if opts.MUC == "" {
		opts.MUC = "muc." + opts.XMPPDomain
	}
	if opts.ControlHost == "" {
		opts.ControlHost = opts.XMPPDomain
	}
	if opts.Duration <= 0 {
		opts.Duration = defaultDuration
	}
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	opts.Limits = opts.Limits.withDefaults()
	control, err := url.Parse(opts.ControlURL)
	switch {
	case !domainName.MatchString(opts.Domain):
		return nil, errors.New("jitsi: Domain must be the host of the Jitsi web app")
	case err != nil || control.Host == "" || control.Scheme != "http" && control.Scheme != "https" || control.User != nil:
		return nil, errors.New("jitsi: ControlURL must be an http or https URL without a user")
	case len(opts.Bearer) < minSecret:
		return nil, errors.New("jitsi: Bearer needs at least 32 characters")
	case opts.Store == nil:
		return nil, errors.New("jitsi: Store is required")
	case len(opts.SharedSecret) == 0 && opts.Vault == nil:
		return nil, errors.New("jitsi: Vault is required")
	case len(opts.SharedSecret) > 0 && len(opts.SharedSecret) < minSecret:
		return nil, errors.New("jitsi: SharedSecret needs at least 32 bytes")
	}
	seal, err := roster.NewSeal(opts.Secret)
	if err != nil {
		return nil, errors.New("jitsi: Secret needs at least 32 bytes")
	}
	d := &Driver{
		opts: opts, bearer: sha256.Sum256([]byte(opts.Bearer)), seal: seal, admission: opts.Admission,
		logins:  &ring{name: "login", vault: opts.Vault, clock: opts.Clock},
		systems: &ring{name: "system", vault: opts.Vault, clock: opts.Clock},
	}
	d.people = &roster.Roster{Store: opts.Store, Admission: d.currentAdmission, Clock: opts.Clock}
	d.rounds = roster.NewRounds(opts.Ticks, opts.Duty, d.Reconcile, d.remove)
	d.prosody = newProsody(control, d)
	if len(opts.SharedSecret) > 0 {
		opts.Log.Warn("Jitsi tokens are signed with a shared secret (HS256): for development only; " +
			"anybody in a call can end every other call where Prosody's HTTP port can be reached")
	}
	return d, nil
}

// SetAdmission names who decides on entry, for a wiring in which that one is
// made after the Driver.
func (d *Driver) SetAdmission(a meeting.Admission) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.admission = a
}

func (d *Driver) currentAdmission() meeting.Admission {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.admission
}

var domainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?$`)

// roomName is what Prosody takes as the name of a room and the claim alike; it
// lower-cases both.
var roomName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,127}$`)

func checkRoom(room string) error {
	if !roomName.MatchString(room) {
		return fhir.Errorf(fhir.CodeValue, "", "The name of the call room is not valid.")
	}
	return nil
}

// Credentials mints a JWT that lets p into room within five minutes. It needs
// no answer of Jitsi, and refuses an ended room.
func (d *Driver) Credentials(ctx context.Context, room string, p meeting.Person) (meeting.Credentials, error) {
	if err := checkRoom(room); err != nil {
		return meeting.Credentials{}, err
	}
	switch {
	case p.ID == "" || len(p.ID) > maxIDLength:
		return meeting.Credentials{}, fhir.Errorf(fhir.CodeRequired, "", "The person who joins needs an identifier.")
	case p.Role != meeting.Practitioner && p.Role != meeting.Patient:
		return meeting.Credentials{}, fhir.Errorf(fhir.CodeValue, "", "The role of a person in a call is practitioner or patient.")
	}
	switch ended, err := d.people.Ended(ctx, room); {
	case err != nil:
		d.opts.Log.Error("it is not known whether a call has ended", "room", room, "error", err)
		return meeting.Credentials{}, fhir.Errorf(fhir.CodeTransient, "", "The credentials for the call could not be made. Please try again in a moment.")
	case ended:
		return meeting.Credentials{}, fhir.Errorf(fhir.CodeBusinessRule, "", "This call has ended.")
	}
	token, expires, err := d.login(ctx, room, p)
	if err != nil {
		d.opts.Log.Error("a token for a call could not be signed", "error", err)
		return meeting.Credentials{}, fhir.Errorf(fhir.CodeTransient, "", "The credentials for the call could not be made. Please try again in a moment.")
	}
	return meeting.Credentials{
		JoinURL: "https://" + d.opts.Domain + "/" + room + preset.Fragment(token, p.Role),
		JWT:     token, Domain: d.opts.Domain, Room: room, ExpiresAt: expires,
	}, nil
}

// Present gives the people in the room, by the events that Jitsi has sent to
// any node. It does not ask Jitsi.
func (d *Driver) Present(ctx context.Context, room string) ([]meeting.Person, error) {
	return d.people.Present(ctx, room)
}

// Counts gives the number of rooms in use and of the people in them.
func (d *Driver) Counts(ctx context.Context) (rooms, people int, err error) {
	return d.people.Counts(ctx)
}

// RotateKeys makes new keys at once, for logins and for control calls. Tokens
// signed before stay good for as long as they last.
func (d *Driver) RotateKeys(ctx context.Context) error {
	if len(d.opts.SharedSecret) > 0 {
		return errors.New("jitsi: a shared secret does not rotate")
	}
	return errors.Join(d.logins.rotate(ctx), d.systems.rotate(ctx))
}

// End closes the room for everybody: no more credentials, no more
// reservations, and Jitsi is asked until its own count no longer names the
// room. An error says that this was not reached in time; ask again.
func (d *Driver) End(ctx context.Context, room string) error {
	if err := checkRoom(room); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, d.opts.Limits.End)
	defer cancel()
	if err := d.people.End(ctx, room); err != nil {
		return unconfirmed(err)
	}
	for {
		err := d.endOnce(ctx, room)
		if err == nil {
			return nil
		}
		if errors.Is(err, errResting) || !wait(ctx, d.opts.Limits.Pause) {
			return unconfirmed(err)
		}
	}
}

func unconfirmed(err error) error {
	return &fhir.Error{Code: fhir.CodeTransient, Diagnostics: "The video system has not confirmed the end of the call.", Err: err}
}

// endOnce asks for the end and believes only the count that follows.
func (d *Driver) endOnce(ctx context.Context, room string) error {
	if err := d.prosody.end(ctx, room); err != nil {
		return err
	}
	open, err := d.prosody.census(ctx)
	switch {
	case err != nil:
		return err
	case open[room]:
		return errStillOpen
	}
	return d.people.Closed(ctx, room)
}

func wait(ctx context.Context, pause time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(pause):
		return true
	}
}

// Kick puts somebody out of the room who is in it. It says nothing about
// whether the person may come back: that is for the Admission to say.
func (d *Driver) Kick(ctx context.Context, room, person string) error {
	if err := checkRoom(room); err != nil {
		return err
	}
	stays, err := d.people.Stays(ctx, room, person)
	if err != nil {
		return err
	}
	for _, key := range stays {
		if err := d.prosody.kick(ctx, room, nickOf(key)); err != nil && !errors.Is(err, errNotThere) {
			return &fhir.Error{Code: fhir.CodeTransient, Diagnostics: "The video system has not removed the person.", Err: err}
		}
	}
	return nil
}

// Disagreements tells how often Jitsi's count was not what its events had said:
// rooms that were gone without a word, and open ones whose session has ended.
func (d *Driver) Disagreements() uint64 { return d.people.ClosedByCount() + d.stillOpen.Load() }
