package delivery

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/auth"
	"github.com/jumpa-hie/jumpa/internal/store"
	"github.com/jumpa-hie/jumpa/internal/subscription"
)

// TokenLife is how long a token can be used to bind a websocket.
const TokenLife = 5 * time.Minute

// maxBound bounds the Subscriptions of one token, and of one websocket.
const maxBound = 100

// Token lets a websocket listen to Subscriptions. Who holds it needs no other
// credentials, so that it lives for minutes only.
type Token struct {
	Value         string
	Expires       time.Time
	Subscriptions []string // ids
}

// pass is what a token says.
type pass struct {
	Client        string   `json:"c"`
	Organization  string   `json:"o"`
	Scopes        []string `json:"s"`
	Subscriptions []string `json:"i"`
	Expires       int64    `json:"e"` // Unix seconds
}

const passPlace = "websocket binding" // what a token was sealed for

func (s *Service) cipher() (cipher.AEAD, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seal != nil {
		return s.seal, nil
	}
	if len(s.Key) != 32 {
		return nil, fmt.Errorf("the key of websocket tokens has %d bytes instead of 32", len(s.Key))
	}
	block, err := aes.NewCipher(s.Key)
	if err != nil {
		return nil, err
	}
	s.seal, err = cipher.NewGCMWithRandomNonce(block)
	return s.seal, err
}

// Token gives a token for the Subscriptions with the ids, or for all those
// with a websocket that p may see.
func (s *Service) Token(ctx context.Context, p auth.Principal, ids []string) (Token, error) {
	s.prepare()
	seal, err := s.cipher()
	if err != nil {
		return Token{}, err
	}
	var bound []string
	target := "Subscription"
	if len(ids) == 1 {
		target += "/" + ids[0]
	}
	err = s.answer(ctx, p, "subscription-token", target, func(tx store.Tx) error {
		bound = nil
		list, err := s.owned(tx, p, ids)
		if err != nil {
			return err
		}
		for _, id := range list {
			sub, _, err := s.mine(tx, p, id)
			switch {
			case err != nil && len(ids) == 0 && fhir.CodeOf(err) == fhir.CodeNotFound:
				continue
			case err != nil:
				return err
			case sub.Channel == subscription.WebSocket:
				bound = append(bound, id)
			case len(ids) > 0:
				return fhir.Errorf(fhir.CodeBusinessRule, "", "The Subscription %s has no websocket.", id)
			}
		}
		switch {
		case len(bound) == 0:
			return fhir.Errorf(fhir.CodeBusinessRule, "", "There is no Subscription with a websocket.")
		case len(bound) > maxBound:
			return fhir.Errorf(fhir.CodeTooCostly, "", "A websocket can listen to %d Subscriptions; name those that it is to listen to.", maxBound).WithStatus(400)
		}
		return nil
	})
	if err != nil {
		return Token{}, err
	}
	expires := s.now().Add(TokenLife).Truncate(time.Second)
	sealed := seal.Seal(nil, nil, fhir.Marshal(pass{p.ID, p.Organization, p.Scopes, bound, expires.Unix()}), []byte(passPlace))
	return Token{base64.RawURLEncoding.EncodeToString(sealed), expires, bound}, nil
}

// admit gives who holds a token, and what it is for.
func (s *Service) admit(token string) (auth.Principal, []string, error) {
	refused := fhir.Errorf(fhir.CodeLogin, "", "This token is not valid or has expired; ask for a new one.")
	seal, err := s.cipher()
	if err != nil {
		return auth.Principal{}, nil, err
	}
	sealed, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return auth.Principal{}, nil, refused
	}
	raw, err := seal.Open(nil, nil, sealed, []byte(passPlace))
	if err != nil {
		return auth.Principal{}, nil, refused
	}
	var v pass
	if err := json.Unmarshal(raw, &v); err != nil || !s.now().Before(time.Unix(v.Expires, 0)) {
		return auth.Principal{}, nil, refused
	}
	return auth.Principal{Kind: auth.Client, ID: v.Client, Organization: v.Organization, Scopes: v.Scopes}, slices.Clone(v.Subscriptions), nil
}
