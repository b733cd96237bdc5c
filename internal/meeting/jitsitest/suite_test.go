package jitsitest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsitest"
	"github.com/jumpa-hie/jumpa/internal/meeting/room"
)

// The embedded provider keeps the same promises as those behind Jitsi.
func TestTheEmbeddedRoomKeepsTheContract(t *testing.T) {
	jitsitest.Suite(t, time.Now, func(t *testing.T) meeting.Provider {
		r, err := room.New(room.Options{
			PublicURL: func() string { return "https://exchange.test" }, Secret: []byte(strings.Repeat("s", 32)),
		})
		if err != nil {
			t.Fatal(err)
		}
		return r
	})
}
