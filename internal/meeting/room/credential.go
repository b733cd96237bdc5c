package room

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/meeting"
)

const (
	issuer          = "jumpa-room"
	audienceEnter   = "enter"  // a JWT minted for a person who taps Join
	audienceResume  = "resume" // a ticket for the way back after a lost connection
	entryLifetime   = 5 * time.Minute
	backdate        = 10 * time.Second
	resumeLifetime  = 2*time.Minute + ticketInterval
	ticketInterval  = 30 * time.Second
	maxNameLength   = 120
	maxPersonLength = 200
)

// Features of a seat. Every credential lists all of them.
const (
	featureMuteAll = "mute-all"
	featureRemove  = "remove-participant"
	featureEnd     = "end-conference"
)

// features gives what a role may do. What this room cannot do at all is
// listed as false, so that no reader of the JWT has to guess.
func features(role meeting.Role) map[string]bool {
	practitioner := role == meeting.Practitioner
	return map[string]bool{
		"audio":        true,
		"video":        true,
		featureMuteAll: practitioner, featureRemove: practitioner, featureEnd: practitioner,
		"recording": false, "livestreaming": false, "transcription": false, "outbound-call": false,
		"file-upload": false, "send-groupchat": false, "create-polls": false,
	}
}

type claims struct {
	jwt.Claims
	Room     string          `json:"room"`
	Role     meeting.Role    `json:"role"`
	Name     string          `json:"name"`
	Features map[string]bool `json:"features"`
}

func (c *claims) person() meeting.Person {
	return meeting.Person{ID: c.Subject, Name: c.Name, Role: c.Role}
}

var roomName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$`)

// Credentials mints a JWT that lets p into room within five minutes. Once in,
// the seat lasts until the room ends. It refuses an ended room.
func (r *Room) Credentials(_ context.Context, room string, p meeting.Person) (meeting.Credentials, error) {
	switch {
	case !roomName.MatchString(room):
		return meeting.Credentials{}, fhir.Errorf(fhir.CodeValue, "", "The name of the call room is not valid.")
	case p.ID == "" || len(p.ID) > maxPersonLength:
		return meeting.Credentials{}, fhir.Errorf(fhir.CodeRequired, "", "The person who joins needs an identifier.")
	case p.Role != meeting.Practitioner && p.Role != meeting.Patient:
		return meeting.Credentials{}, fhir.Errorf(fhir.CodeValue, "", "The role of a person in a call is practitioner or patient.")
	case r.hasEnded(room):
		return meeting.Credentials{}, fhir.Errorf(fhir.CodeBusinessRule, "", "This call has ended.")
	}
	p.Name = shorten(strings.TrimSpace(p.Name))
	now := r.opts.Clock()
	token, err := r.mint(audienceEnter, room, p, now, entryLifetime)
	if err != nil {
		return meeting.Credentials{}, err
	}
	base := strings.TrimRight(r.opts.PublicURL(), "/")
	return meeting.Credentials{
		JoinURL: base + "/room/" + room + "#jwt=" + token, JWT: token, Domain: hostOf(base), Room: room,
		ExpiresAt: now.Add(entryLifetime).Truncate(time.Second),
	}, nil
}

func shorten(name string) string {
	if runes := []rune(name); len(runes) > maxNameLength {
		return string(runes[:maxNameLength])
	}
	return name
}

func (r *Room) mint(audience, room string, p meeting.Person, now time.Time, life time.Duration) (string, error) {
	c := claims{
		Claims: jwt.Claims{
			Issuer: issuer, Subject: p.ID, Audience: jwt.Audience{audience}, ID: uuid.NewString(),
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now.Add(-backdate)),
			Expiry: jwt.NewNumericDate(now.Add(life)),
		},
		Room: room, Role: p.Role, Name: p.Name, Features: features(p.Role),
	}
	token, err := jwt.Signed(r.signer).Claims(c).Serialize()
	if err != nil {
		return "", fhir.Errorf(fhir.CodeException, "", "The credentials for the call could not be made.")
	}
	return token, nil
}

// verify reads a credential made for room. It has no leeway: the exchange
// that mints is the one that checks.
func (r *Room) verify(audience, room, token string) (*claims, error) {
	invalid := fhir.Errorf(fhir.CodeForbidden, "", "These credentials do not open this room.")
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.HS256})
	if err != nil {
		return nil, invalid
	}
	var c claims
	if err := parsed.Claims(r.opts.Secret, &c); err != nil {
		return nil, invalid
	}
	expected := jwt.Expected{Issuer: issuer, AnyAudience: jwt.Audience{audience}, Time: r.opts.Clock()}
	switch err := c.ValidateWithLeeway(expected, 0); {
	case errors.Is(err, jwt.ErrExpired):
		return nil, fhir.Errorf(fhir.CodeExpired, "", "These credentials are too old. Please join again from the appointment.")
	case err != nil, c.Expiry == nil, c.IssuedAt == nil, c.Room != room, c.Subject == "":
		return nil, invalid
	}
	return &c, nil
}

// seatID gives the opaque name of a person's seat: the same after a reload,
// and after a restart of the exchange.
func (r *Room) seatID(room, person string) string {
	mac := hmac.New(sha256.New, r.opts.Secret)
	mac.Write([]byte("seat\x00" + room + "\x00" + person))
	return hex.EncodeToString(mac.Sum(nil)[:12])
}

// identify reads the JWT of a first entry or the ticket of a return.
func (r *Room) identify(room, token, ticket string) (*claims, error) {
	audience := audienceEnter
	if token == "" {
		audience, token = audienceResume, ticket
	}
	c, err := r.verify(audience, room, token)
	switch {
	case r.hasEnded(room) && (err == nil || fhir.CodeOf(err) == fhir.CodeExpired):
		return nil, refusal(codeEnded)
	case err != nil && fhir.CodeOf(err) == fhir.CodeExpired:
		return nil, refusal(codeExpired)
	case err != nil:
		return nil, refusal(codeInvalid)
	}
	return c, nil
}
