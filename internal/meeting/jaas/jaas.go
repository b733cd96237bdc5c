// Package jaas lets consultations take place on 8x8's Jitsi as a Service.
//
// It mints the tokens that let people in, takes in the webhooks, and bans
// people from rooms whose session has ended. JaaS documents no way to end a
// room as a whole: the end is confirmed when its webhooks say that everybody
// has left.
package jaas

import (
	"context"
	"crypto/rsa"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsi/preset"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsi/roster"
	"github.com/jumpa-hie/jumpa/internal/store"
)

const (
	defaultBase   = "https://8x8.vc"
	tokenLifetime = 5 * time.Minute
	adminLifetime = time.Minute
	backdate      = 10 * time.Second
	minKeyBits    = 2048
	minSecret     = 16
	maxNameLength = 120
	maxIDLength   = 200
	kept          = 24 * time.Hour // webhooks are taken in for so long
	banAgain      = time.Minute    // when the webhooks do not say that somebody has left
)

// Options of a Driver. AppID, KeyID, Key, WebhookSecret, Secret and Store are required.
type Options struct {
	AppID string          // vpaas-magic-cookie-…
	KeyID string          // of the API key in the JaaS console, with or without the AppID before it
	Key   *rsa.PrivateKey // of that API key

	WebhookSecret string // of the webhook endpoint
	Secret        []byte // 32 bytes or more; hides who is behind a user id

	Store store.Store // of who is in the calls, for all nodes

	Base string // https://8x8.vc when empty

	Call time.Duration // one request, 2 s when 0
	Rest time.Duration // after JaaS did not answer, 10 s when 0

	Admission meeting.Admission
	Clock     func() time.Time
	Ticks     <-chan time.Time               // of the chores; every 20 s when nil
	Duty      func(ctx context.Context) bool // whether this node has to do the chores now; nil when there are no others
	Log       *slog.Logger
}

// Driver is the provider. Its methods are safe for concurrent use.
type Driver struct {
	opts   Options
	base   *url.URL
	signer jose.Signer
	seal   *roster.Seal
	people *roster.Roster
	rounds *roster.Rounds
	client *http.Client

	mu        sync.Mutex
	admission meeting.Admission
	banned    map[string]time.Time // by user id
	resting   time.Time
}

var _ meeting.Provider = (*Driver)(nil)

var appID = regexp.MustCompile(`^vpaas-magic-cookie-[0-9a-zA-Z]+$`)

// New checks the options and makes a Driver.
func New(opts Options) (*Driver, error) {
	if opts.Base == "" {
		opts.Base = defaultBase
	}
	if opts.Call <= 0 {
		opts.Call = 2 * time.Second
	}
	if opts.Rest <= 0 {
		opts.Rest = 10 * time.Second
	}
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	opts.KeyID = strings.TrimPrefix(opts.KeyID, opts.AppID+"/")
	base, err := url.Parse(opts.Base)
	switch {
	case err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" || base.User != nil:
		return nil, errors.New("jaas: Base must be an http or https URL without a user")
	case !appID.MatchString(opts.AppID):
		return nil, errors.New("jaas: AppID must be of the form vpaas-magic-cookie-…")
	case opts.KeyID == "" || strings.Contains(opts.KeyID, "/"):
		return nil, errors.New("jaas: KeyID must be the id of an API key of this AppID")
	case opts.Key == nil || opts.Key.N.BitLen() < minKeyBits:
		return nil, errors.New("jaas: Key must be an RSA key of 2048 bits or more")
	case len(opts.WebhookSecret) < minSecret:
		return nil, errors.New("jaas: WebhookSecret needs at least 16 characters")
	}
	if opts.Store == nil {
		return nil, errors.New("jaas: Store is required")
	}
	seal, err := roster.NewSeal(opts.Secret)
	if err != nil {
		return nil, errors.New("jaas: Secret needs at least 32 bytes")
	}
	signer, err := jose.NewSigner(jose.SigningKey{
		Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: opts.Key, KeyID: opts.AppID + "/" + opts.KeyID},
	}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, err
	}
	d := &Driver{
		opts: opts, base: base, signer: signer, seal: seal, admission: opts.Admission,
		client: &http.Client{
			// A redirect would carry the admin token elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, IdleConnTimeout: 90 * time.Second},
		},
		banned: map[string]time.Time{},
	}
	d.people = &roster.Roster{Store: opts.Store, Admission: d.currentAdmission, Clock: opts.Clock}
	d.rounds = roster.NewRounds(opts.Ticks, opts.Duty, d.Chores, d.remove)
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

var roomName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,127}$`)

func checkRoom(room string) error {
	if !roomName.MatchString(room) {
		return fhir.Errorf(fhir.CodeValue, "", "The name of the call room is not valid.")
	}
	return nil
}

// claims are those of JaaS; issuer and audience are the same for everybody.
type claims struct {
	Issuer    string   `json:"iss"`
	Audience  string   `json:"aud"`
	Subject   string   `json:"sub"`
	Room      string   `json:"room,omitempty"`
	IssuedAt  int64    `json:"iat"`
	NotBefore int64    `json:"nbf"`
	Expiry    int64    `json:"exp"`
	ID        string   `json:"jti"`
	Admin     bool     `json:"admin,omitempty"`
	Context   *entrant `json:"context,omitempty"`
}

type entrant struct {
	User     user              `json:"user"`
	Features map[string]string `json:"features"`
}

type user struct {
	ID                 string `json:"id"`
	Name               string `json:"name"`
	Email              string `json:"email"`
	Avatar             string `json:"avatar"`
	Moderator          string `json:"moderator"`
	HiddenFromRecorder string `json:"hidden-from-recorder"`
}

func (d *Driver) claims(life time.Duration) (c claims, expires time.Time) {
	now := d.opts.Clock()
	expires = now.Add(life).Truncate(time.Second)
	return claims{
		Issuer: "chat", Audience: "jitsi", Subject: d.opts.AppID, ID: uuid.NewString(),
		IssuedAt: now.Unix(), NotBefore: now.Add(-backdate).Unix(), Expiry: expires.Unix(),
	}, expires
}

// Credentials mints a JWT that lets p into room within five minutes. It needs
// no answer of JaaS, and refuses an ended room.
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
	c, expires := d.claims(tokenLifetime)
	c.Room = room
	c.Context = &entrant{
		User: user{
			ID: d.seal.ID(room, p), Name: shorten(strings.TrimSpace(p.Name)),
			Moderator: strconv.FormatBool(p.Role == meeting.Practitioner), HiddenFromRecorder: "false",
		},
		Features: map[string]string{},
	}
	for name, on := range preset.Features(p.Role) {
		c.Context.Features[name] = strconv.FormatBool(on)
	}
	token, err := jwt.Signed(d.signer).Claims(c).Serialize()
	if err != nil {
		return meeting.Credentials{}, fhir.Errorf(fhir.CodeException, "", "The credentials for the call could not be made.")
	}
	return meeting.Credentials{
		JoinURL: d.base.Scheme + "://" + d.base.Host + "/" + d.opts.AppID + "/" + room + preset.Fragment(token, p.Role),
		JWT:     token, Domain: d.base.Host, Room: room, ExpiresAt: expires,
	}, nil
}

func shorten(name string) string {
	if runes := []rune(name); len(runes) > maxNameLength {
		return string(runes[:maxNameLength])
	}
	return name
}

// Present gives the people in the room, by the webhooks that came to any node.
// It does not ask JaaS.
func (d *Driver) Present(ctx context.Context, room string) ([]meeting.Person, error) {
	return d.people.Present(ctx, room)
}

// Counts gives the number of rooms in use and of the people in them.
func (d *Driver) Counts(ctx context.Context) (rooms, people int, err error) {
	return d.people.Counts(ctx)
}

// End closes the room for everybody: no more credentials, and who is inside
// is banned from this room. An error says that the webhooks have not told of
// everybody's leaving yet; ask again.
func (d *Driver) End(ctx context.Context, room string) error {
	if err := checkRoom(room); err != nil {
		return err
	}
	failed := d.people.End(ctx, room)
	inside, err := d.people.Present(ctx, room)
	for _, p := range inside {
		if failed == nil {
			failed = d.ban(ctx, d.seal.ID(room, p))
		}
	}
	if len(inside) > 0 && failed == nil {
		inside, err = d.people.Present(ctx, room) // banning may have brought webhooks
	}
	if failed = errors.Join(failed, err); failed == nil && len(inside) == 0 {
		return nil
	}
	return &fhir.Error{Code: fhir.CodeTransient, Diagnostics: "The video system has not confirmed the end of the call.", Err: failed}
}

// Kick bans somebody from the room. A user id of ours is good for one room, so
// that the ban is of this room only.
func (d *Driver) Kick(ctx context.Context, room string, p meeting.Person) error {
	if err := checkRoom(room); err != nil {
		return err
	}
	if err := d.ban(ctx, d.seal.ID(room, p)); err != nil {
		return &fhir.Error{Code: fhir.CodeTransient, Diagnostics: "The video system has not removed the person.", Err: err}
	}
	return nil
}

// What can go wrong with JaaS. None of it carries an address or a token.
var (
	errResting  = errors.New("jaas: JaaS did not answer a moment ago")
	errNoAnswer = errors.New("jaas: JaaS does not answer")
	errRefused  = errors.New("jaas: JaaS refuses our key")
	errAnswer   = errors.New("jaas: JaaS's answer makes no sense")
)

// ban bans a user id, at most once a minute.
func (d *Driver) ban(ctx context.Context, id string) error {
	now := d.opts.Clock()
	d.mu.Lock()
	at, done := d.banned[id]
	resting := now.Before(d.resting)
	d.mu.Unlock()
	switch {
	case done && now.Sub(at) < banAgain:
		return nil
	case resting:
		return errResting
	}
	c, _ := d.claims(adminLifetime)
	c.Admin = true
	token, err := jwt.Signed(d.signer).Claims(c).Serialize()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, d.opts.Call)
	defer cancel()
	address := d.base.JoinPath("v1/_jaas/jaccess/v1/access-management", d.opts.AppID, "ban/user", id).String()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, nil)
	if err != nil {
		return errAnswer
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := d.client.Do(req)
	if err != nil {
		d.mu.Lock()
		d.resting = d.opts.Clock().Add(d.opts.Rest)
		d.mu.Unlock()
		return errNoAnswer
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16))
	switch {
	case resp.StatusCode/100 == 2:
		d.mu.Lock()
		maps.DeleteFunc(d.banned, func(_ string, at time.Time) bool { return now.Sub(at) >= banAgain })
		d.banned[id] = now
		d.mu.Unlock()
		return nil
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden:
		return errRefused
	case resp.StatusCode >= http.StatusInternalServerError:
		return errNoAnswer
	}
	return errAnswer
}
