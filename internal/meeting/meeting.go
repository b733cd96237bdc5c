// Package meeting is the contract of the video system: rooms, the people who
// may enter them, and their end.
//
// A provider (room, embedded in the exchange; jitsi; jaas) implements
// Provider. The session token of the consultation never reaches a provider or
// a browser as a credential: people get credentials of their own, short-lived
// and for one room. The package decides nothing about who may join.
package meeting

import (
	"context"
	"time"
)

// Role is what a person is in a call.
type Role string

// Roles.
const (
	Practitioner Role = "practitioner"
	Patient      Role = "patient"
)

// Person is somebody who joins. ID is stable for one person in one session, so
// that a rejoin takes the place of the connection before it.
type Person struct {
	ID   string
	Name string // shown to the others in the call
	Role Role
}

// Credentials let one person into one room until ExpiresAt. JoinURL carries
// the JWT in its fragment, which browsers do not send to servers.
type Credentials struct {
	JoinURL   string    `json:"joinUrl"`
	JWT       string    `json:"jwt"`
	Domain    string    `json:"domain"`
	Room      string    `json:"room"`
	ExpiresAt time.Time `json:"expiresAt"`
}

// Provider is a video system. Its methods are idempotent and safe for
// concurrent use.
type Provider interface {
	// Credentials mints what p needs to enter room.
	Credentials(ctx context.Context, room string, p Person) (Credentials, error)
	// End closes the room for everybody; a room that never opened is no error.
	End(ctx context.Context, room string) error
	// Present gives the people in the room now.
	Present(ctx context.Context, room string) ([]Person, error)
}

// Admission is asked by a provider when somebody arrives with credentials and
// told when people come and go. The consultation implements it.
type Admission interface {
	// Admit refuses with an error when the person may not enter now.
	Admit(ctx context.Context, room string, p Person) error
	Joined(ctx context.Context, room string, p Person)
	Left(ctx context.Context, room string, p Person)
	// EndForAll is a practitioner's request from inside the call.
	EndForAll(ctx context.Context, room string, p Person) error
}
