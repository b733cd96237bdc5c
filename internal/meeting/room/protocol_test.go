package room_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/meeting/room"
	"github.com/jumpa-hie/jumpa/internal/meeting/room/headless"
	"github.com/jumpa-hie/jumpa/internal/meeting/room/signal"
)

func dial(t *testing.T, h *house, origin string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	header := http.Header{}
	if origin != "" {
		header.Set("Origin", origin)
	}
	ws, res, err := websocket.Dial(ctxOf(t), strings.Replace(h.url, "http", "ws", 1)+"/room/vc-one/socket", &websocket.DialOptions{HTTPHeader: header})
	if err == nil {
		t.Cleanup(func() { _ = ws.CloseNow() })
	}
	return ws, res, err
}

func TestSocketRefusesOtherOrigins(t *testing.T) {
	h := newHouse(t)
	if _, res, err := dial(t, h, "https://evil.example"); err == nil || res.StatusCode != http.StatusForbidden {
		t.Errorf("another origin: %v", err)
	}
	if _, _, err := dial(t, h, h.url); err != nil {
		t.Errorf("the own origin: %v", err)
	}
}

func TestSocketClosesOnWhatIsNoEntry(t *testing.T) {
	h := newHouse(t)
	link := h.link(t, "vc-one", "doctor", meeting.Practitioner)
	token := link[strings.Index(link, "jwt=")+4:]
	for name, first := range map[string]string{
		"not JSON":      "hello",
		"another type":  `{"type":"end"}`,
		"no credential": `{"type":"enter"}`,
		"too long":      `{"type":"enter","jwt":"` + strings.Repeat("a", 9<<10) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			ws, _, err := dial(t, h, "")
			if err != nil {
				t.Fatal(err)
			}
			if err := ws.Write(ctxOf(t), websocket.MessageText, []byte(first)); err != nil {
				t.Fatal(err)
			}
			for {
				_, body, err := ws.Read(ctxOf(t))
				if err != nil {
					break
				}
				var m signal.Message
				if json.Unmarshal(body, &m) != nil || m.Type != signal.Refused || m.Code != signal.CodeInvalid {
					t.Fatalf("answered %s", body)
				}
			}
			if ctxOf(t).Err() != nil {
				t.Fatal("the socket stayed open")
			}
		})
	}
	ws, _, err := dial(t, h, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []string{`{"type":"enter","jwt":"` + token + `"}`, `{"type":"answer","connection":1,"offer":1,"sdp":"nonsense"}`} {
		if err := ws.Write(ctxOf(t), websocket.MessageText, []byte(m)); err != nil {
			t.Fatal(err)
		}
	}
	// The nonsense may come before the offer and is ignored then; a second one is not.
	for {
		_, body, err := ws.Read(ctxOf(t))
		if err != nil {
			break
		}
		var m signal.Message
		if json.Unmarshal(body, &m) == nil && m.Type == signal.Offer {
			_ = ws.Write(ctxOf(t), websocket.MessageText, []byte(`{"type":"answer","connection":1,"offer":1,"sdp":"nonsense"}`))
		}
	}
	if ctxOf(t).Err() != nil {
		t.Error("a wrong answer left the socket open")
	}
}

func TestAllAddressesOfTheHostAreOffered(t *testing.T) {
	h := newHouse(t, func(o *room.Options) { o.UDPAddr = "0.0.0.0:0" })
	h.clinic.activate()
	doctor := h.join(t, "vc-one", "doctor", meeting.Practitioner, headless.Options{})
	h.join(t, "vc-one", "patient", meeting.Patient, headless.Options{})
	waitMedia(t, doctor, 1)
	if udp, ok := h.room.UDPAddr().(*net.UDPAddr); !ok || udp.Port == 0 || !udp.IP.IsUnspecified() {
		t.Errorf("the port is %v", h.room.UDPAddr())
	}
}

func TestEndThatTheConsultationRefuses(t *testing.T) {
	h := newHouse(t)
	h.clinic.ended = func(string) error {
		return fhir.Errorf(fhir.CodeBusinessRule, "", "Finish the record of the visit first.")
	}
	doctor := h.join(t, "vc-one", "doctor", meeting.Practitioner, headless.Options{NoVideo: true})
	if err := doctor.EndForAll(); err != nil {
		t.Fatal(err)
	}
	wait(t, doctor, "declined", func(s headless.Stats) bool { return s.Declined == signal.CodeNotNow })
	if people, err := h.room.Present(context.Background(), "vc-one"); err != nil || len(people) != 1 {
		t.Errorf("present are %v, %v", people, err)
	}
}

func TestStopLeavesNothingRunning(t *testing.T) {
	h := newHouse(t)
	h.clinic.activate()
	doctor := h.join(t, "vc-one", "doctor", meeting.Practitioner, headless.Options{})
	patient := h.join(t, "vc-one", "patient", meeting.Patient, headless.Options{})
	waitMedia(t, doctor, 1)
	waitMedia(t, patient, 1)
	if err := patient.Restart(); err != nil {
		t.Fatal(err)
	}
	wait(t, patient, "a new media connection", func(s headless.Stats) bool { return s.MediaConnection == 2 })
	h.room.Stop()
	doctor.Drop()
	patient.Drop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		if !bytes.Contains(stacks, []byte("internal/meeting/room.(")) && !bytes.Contains(stacks, []byte("room/headless.(")) {
			return
		}
		select {
		case <-tick.C:
		case <-ctxOf(t).Done():
			t.Fatalf("still running:\n%s", stacks)
		}
	}
}
