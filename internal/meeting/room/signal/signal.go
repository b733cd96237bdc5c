// Package signal is the language that a browser and the call room speak over
// their WebSocket: one JSON object per message.
//
// A participant enters with a JWT or a resume ticket, answers the offers of
// the room and says what it sends; the room says who is there and when the
// call is over. The room always offers and the participant always answers, so
// that offers never collide. Media never passes here.
package signal

// Messages from a participant to the room.
const (
	Enter   = "enter"    // JWT or Ticket, Audio, Video: always the first message
	Answer  = "answer"   // Connection, Offer, SDP
	State   = "state"    // Audio, Video: what is being sent now; Audio true unmutes
	Receive = "receive"  // Video: false asks for sound only
	Restart = "restart"  // the media path is lost, offer a new connection
	Leave   = "leave"    // give the seat back
	MuteAll = "mute-all" // practitioner: everybody else
	Remove  = "remove"   // practitioner: Seat
	LetIn   = "let-in"   // practitioner: Seat of somebody removed before
	End     = "end"      // practitioner: end the call for everybody
)

// Messages from the room to a participant.
const (
	Welcome  = "welcome"  // Seat, Ticket, Features
	Ticket   = "ticket"   // Ticket: a fresh one, replaces the one before
	People   = "people"   // People, Removed
	Offer    = "offer"    // Connection, Offer, SDP
	Mute     = "mute"     // the practitioner muted everybody
	Refused  = "refused"  // Code, Reason: not let in
	Declined = "declined" // Code, Reason: a request was not carried out
	Removed  = "removed"  // the practitioner removed this person
	Replaced = "replaced" // the same person came in from another page
	Ended    = "ended"    // the call is over for everybody
)

// Codes of Refused and Declined.
const (
	CodeInvalid     = "invalid"      // the credentials are not for this room
	CodeExpired     = "expired"      // the credentials are too old
	CodeNotAdmitted = "not-admitted" // may not enter now
	CodeRemoved     = "removed"      // was removed from this call
	CodeEnded       = "ended"        // the call is over
	CodeFull        = "full"         // no seat is free
	CodeUnavailable = "unavailable"  // the room cannot serve now
	CodeForbidden   = "forbidden"    // only the practitioner may do this
	CodeNotNow      = "not-now"      // the consultation does not allow it now
)

// Person is one seat of the call as everybody sees it. Seat is opaque, and
// the same again after a reload.
type Person struct {
	Seat  string `json:"seat"`
	Name  string `json:"name"`
	Role  string `json:"role"`
	Audio bool   `json:"audio"`
	Video bool   `json:"video"`
	Away  bool   `json:"away,omitempty"` // the connection is lost, the seat is kept
}

// Message is every message of the protocol; Type says which fields count.
// Connection counts the media connections of one socket, Offer the offers.
type Message struct {
	Type       string          `json:"type"`
	JWT        string          `json:"jwt,omitempty"`
	Ticket     string          `json:"ticket,omitempty"`
	Audio      bool            `json:"audio,omitempty"`
	Video      bool            `json:"video,omitempty"`
	Seat       string          `json:"seat,omitempty"`
	Features   map[string]bool `json:"features,omitempty"`
	People     []Person        `json:"people,omitempty"`
	Removed    []Person        `json:"removed,omitempty"`
	Connection int             `json:"connection,omitempty"`
	Offer      int             `json:"offer,omitempty"`
	SDP        string          `json:"sdp,omitempty"`
	Code       string          `json:"code,omitempty"`
	Reason     string          `json:"reason,omitempty"`
}
