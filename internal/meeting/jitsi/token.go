package jitsi

import (
	"context"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"

	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsi/preset"
)

const (
	tokenLifetime  = 5 * time.Minute  // to get in; a call that runs is not cut
	systemLifetime = time.Minute      // of a token for one control call
	backdate       = 10 * time.Second // Prosody knows no leeway
	maxNameLength  = 120
	maxIDLength    = 200
)

// claims are those that Prosody checks. Audience is a string on purpose:
// Prosody refuses a list.
type claims struct {
	Issuer    string   `json:"iss"`
	Audience  string   `json:"aud"`
	Subject   string   `json:"sub"`
	Room      string   `json:"room"`
	IssuedAt  int64    `json:"iat"`
	NotBefore int64    `json:"nbf"`
	Expiry    int64    `json:"exp"`
	ID        string   `json:"jti"`
	Context   *entrant `json:"context,omitempty"`
}

// entrant is the context of a login.
type entrant struct {
	User     user            `json:"user"`
	Features map[string]bool `json:"features"`
}

// user is what the others in the call see: strings, never null.
type user struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Email       string `json:"email"`
	Avatar      string `json:"avatar"`
	Moderator   bool   `json:"moderator"`
	LobbyBypass bool   `json:"lobby_bypass"`
}

func (d *Driver) claims(room string, life time.Duration) (c claims, expires time.Time) {
	now := d.opts.Clock()
	expires = now.Add(life).Truncate(time.Second)
	return claims{
		Issuer: d.opts.AppID, Audience: d.opts.Audience, Subject: d.opts.XMPPDomain, Room: room,
		IssuedAt: now.Unix(), NotBefore: now.Add(-backdate).Unix(), Expiry: expires.Unix(), ID: uuid.NewString(),
	}, expires
}

// login mints the token that lets p into room.
func (d *Driver) login(ctx context.Context, room string, p meeting.Person) (token string, expires time.Time, err error) {
	c, expires := d.claims(room, tokenLifetime)
	c.Context = &entrant{
		User: user{
			ID: d.seal.ID(room, p), Name: shorten(strings.TrimSpace(p.Name)), Moderator: p.Role == meeting.Practitioner,
			// The waiting room is the exchange's: whoever has a token was let in there.
			LobbyBypass: true,
		},
		Features: preset.Features(p.Role),
	}
	token, err = d.sign(ctx, d.logins, c)
	return token, expires, err
}

// system mints the token of one control call for room.
func (d *Driver) system(ctx context.Context, room string) (string, error) {
	c, _ := d.claims(room, systemLifetime)
	return d.sign(ctx, d.systems, c)
}

func (d *Driver) sign(ctx context.Context, keys *ring, c claims) (string, error) {
	signing := jose.SigningKey{Algorithm: jose.HS256, Key: d.opts.SharedSecret}
	if len(d.opts.SharedSecret) == 0 {
		var err error
		if signing, err = keys.signer(ctx); err != nil {
			return "", err
		}
	}
	signer, err := jose.NewSigner(signing, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", err
	}
	return jwt.Signed(signer).Claims(c).Serialize()
}

func shorten(name string) string {
	if runes := []rune(name); len(runes) > maxNameLength {
		return string(runes[:maxNameLength])
	}
	return name
}
