package room_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/meeting/room"
	"github.com/jumpa-hie/jumpa/internal/meeting/room/headless"
	"github.com/jumpa-hie/jumpa/internal/meeting/room/signal"
)

func TestLostConnectionIsResumedOnTheSameSeat(t *testing.T) {
	h := newHouse(t)
	h.clinic.activate()
	doctor := h.join(t, "vc-one", "doctor", meeting.Practitioner, headless.Options{})
	patient := h.join(t, "vc-one", "patient", meeting.Patient, headless.Options{})
	waitMedia(t, doctor, 1)
	seat := patient.Seat()

	// Several times, as people in a lift do: places in the offers are used again.
	for range 4 {
		patient.Drop()
		wait(t, doctor, "the patient is away", func(s headless.Stats) bool { return len(s.People) == 1 && s.People[seat].Away })
		before := doctor.Stats().People[seat]
		back, err := headless.Join(ctxOf(t), h.url+"/room/vc-one", headless.Options{Ticket: patient.Ticket()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(back.Drop)
		patient = back
		if back.Seat() != seat {
			t.Fatalf("seat %q after the return, %q before", back.Seat(), seat)
		}
		waitMedia(t, back, 1)
		wait(t, doctor, "the patient is back, once", func(s headless.Stats) bool {
			who := s.People[seat]
			return len(s.People) == 1 && !who.Away && who.Frames > before.Frames+1 && who.KeyFrames > before.KeyFrames && who.AudioPackets > before.AudioPackets
		})
	}
	h.clinic.await(t, "joined doctor", "joined patient")
	if n := doctor.Stats().MediaConnection; n != 1 {
		t.Errorf("the doctor needed %d media connections", n)
	}
	if n := doctor.Stats().MediaSections; n > 4 {
		t.Errorf("the offers have grown to %d media sections", n)
	}
}

func TestSeatIsGivenUpAfterAMinute(t *testing.T) {
	h := newHouse(t)
	h.clinic.activate()
	doctor := h.join(t, "vc-one", "doctor", meeting.Practitioner, headless.Options{})
	patient := h.join(t, "vc-one", "patient", meeting.Patient, headless.Options{})
	waitMedia(t, doctor, 1)
	patient.Drop()
	wait(t, doctor, "away", func(s headless.Stats) bool { return s.People[patient.Seat()].Away })
	h.clock.advance(61 * time.Second)
	h.clinic.await(t, "joined doctor", "joined patient", "left patient")
	wait(t, doctor, "gone", func(s headless.Stats) bool { return len(s.People) == 0 })
	// The ticket is good for two minutes: the person comes in anew.
	back, err := headless.Join(ctxOf(t), h.url+"/room/vc-one", headless.Options{Ticket: patient.Ticket()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(back.Drop)
	waitMedia(t, doctor, 1)
	h.clinic.await(t, "joined doctor", "joined patient", "left patient", "joined patient")
}

func TestSecondConnectionReplacesTheFirst(t *testing.T) {
	h := newHouse(t)
	h.clinic.activate()
	doctor := h.join(t, "vc-one", "doctor", meeting.Practitioner, headless.Options{})
	first := h.join(t, "vc-one", "patient", meeting.Patient, headless.Options{})
	waitMedia(t, doctor, 1)
	before := doctor.Stats().People[first.Seat()]
	second := h.join(t, "vc-one", "patient", meeting.Patient, headless.Options{})
	waitEnded(t, first, signal.Replaced)
	waitMedia(t, second, 1)
	wait(t, doctor, "one patient, from the second page", func(s headless.Stats) bool {
		return len(s.People) == 1 && s.People[second.Seat()].KeyFrames > before.KeyFrames && !s.People[second.Seat()].Away
	})
	if second.Seat() != first.Seat() {
		t.Error("the second page has another seat")
	}
	h.clinic.await(t, "joined doctor", "joined patient")
}

func TestEndClosesEverybody(t *testing.T) {
	tests := []struct {
		name string
		end  func(*house, *headless.Participant) error
		log  []string
	}{
		{"by the exchange", func(h *house, _ *headless.Participant) error { return h.room.End(context.Background(), "vc-one") }, nil},
		{"by the practitioner", func(_ *house, doctor *headless.Participant) error { return doctor.EndForAll() }, []string{"end doctor"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			h.clinic.activate()
			doctor := h.join(t, "vc-one", "doctor", meeting.Practitioner, headless.Options{NoVideo: true})
			patient := h.join(t, "vc-one", "patient", meeting.Patient, headless.Options{NoVideo: true})
			waitMedia(t, doctor, 1)
			h.clinic.await(t, "joined doctor", "joined patient")
			if err := tt.end(h, doctor); err != nil {
				t.Fatal(err)
			}
			waitEnded(t, doctor, signal.Ended)
			waitEnded(t, patient, signal.Ended)
			h.clinic.await(t, append(append([]string{"joined doctor", "joined patient"}, tt.log...), "left doctor", "left patient")...)
			_, err := headless.Join(ctxOf(t), h.url+"/room/vc-one", headless.Options{Ticket: patient.Ticket()})
			if got := refusedCode(err); got != signal.CodeEnded {
				t.Errorf("a return to the ended call gives %s", got)
			}
			if people, err := h.room.Present(ctxOf(t), "vc-one"); err != nil || len(people) != 0 {
				t.Errorf("present are %v, %v", people, err)
			}
		})
	}
}

func TestOnlyThePractitionerModerates(t *testing.T) {
	h := newHouse(t)
	h.clinic.activate()
	doctor := h.join(t, "vc-one", "doctor", meeting.Practitioner, headless.Options{NoVideo: true})
	for _, tt := range []struct {
		name string
		ask  func(*headless.Participant) error
	}{
		{"mute all", (*headless.Participant).MuteAll},
		{"remove", func(p *headless.Participant) error { return p.Remove(doctor.Seat()) }},
		{"let in", func(p *headless.Participant) error { return p.LetIn(doctor.Seat()) }},
		{"end", (*headless.Participant).EndForAll},
	} {
		t.Run(tt.name, func(t *testing.T) {
			patient := h.join(t, "vc-one", "patient", meeting.Patient, headless.Options{NoVideo: true})
			if err := tt.ask(patient); err != nil {
				t.Fatal(err)
			}
			wait(t, patient, "declined", func(s headless.Stats) bool { return s.Declined == signal.CodeForbidden })
			patient.Leave()
		})
	}
	if s := doctor.Stats(); !s.Audio {
		t.Errorf("the doctor was muted: %+v", s)
	}
}

func TestPeopleWithoutDevices(t *testing.T) {
	h := newHouse(t)
	h.clinic.activate()
	doctor := h.join(t, "vc-one", "doctor", meeting.Practitioner, headless.Options{})
	sound := h.join(t, "vc-one", "sound", meeting.Patient, headless.Options{NoVideo: true})
	picture := h.join(t, "vc-one", "picture", meeting.Patient, headless.Options{NoAudio: true})
	silent := h.join(t, "vc-one", "silent", meeting.Patient, headless.Options{NoAudio: true, NoVideo: true})
	waitMedia(t, doctor, 2)
	waitMedia(t, sound, 2)
	waitMedia(t, picture, 2)
	waitMedia(t, silent, 3)
	s := doctor.Stats()
	if who := s.People[sound.Seat()]; who.AudioPackets == 0 || who.VideoPackets != 0 || who.Video {
		t.Errorf("sound alone: %+v", who)
	}
	if who := s.People[picture.Seat()]; who.AudioPackets != 0 || who.Frames == 0 || who.Audio {
		t.Errorf("picture alone: %+v", who)
	}
	if who := s.People[silent.Seat()]; who.AudioPackets != 0 || who.VideoPackets != 0 || who.Audio || who.Video {
		t.Errorf("neither: %+v", who)
	}
}

func TestMuteAllHoldsTheSoundUntilThePersonUnmutes(t *testing.T) {
	h := newHouse(t)
	h.clinic.activate()
	doctor := h.join(t, "vc-one", "doctor", meeting.Practitioner, headless.Options{})
	patient := h.join(t, "vc-one", "patient", meeting.Patient, headless.Options{})
	waitMedia(t, doctor, 1)
	waitMedia(t, patient, 1)
	if err := doctor.MuteAll(); err != nil {
		t.Fatal(err)
	}
	wait(t, patient, "the microphone goes off", func(s headless.Stats) bool { return !s.Audio })
	wait(t, doctor, "the patient is shown muted", func(s headless.Stats) bool { return !s.People[patient.Seat()].Audio })
	held := doctor.Stats().People[patient.Seat()]
	wait(t, doctor, "the picture goes on for a second", func(s headless.Stats) bool { return s.People[patient.Seat()].Frames >= held.Frames+15 })
	// A packet or two may have been on their way when the mute came.
	if now := doctor.Stats().People[patient.Seat()]; now.AudioPackets > held.AudioPackets+2 {
		t.Errorf("%d packets of sound came after the mute", now.AudioPackets-held.AudioPackets)
	}
	if s := doctor.Stats(); !s.Audio || !patient.Stats().People[doctor.Seat()].Audio {
		t.Error("the one who mutes was muted too")
	}
	if err := patient.Send(true, true); err != nil {
		t.Fatal(err)
	}
	wait(t, doctor, "the patient is heard again", func(s headless.Stats) bool {
		who := s.People[patient.Seat()]
		return who.Audio && who.AudioPackets > held.AudioPackets+10
	})
}

func TestMuteOutlivesAReload(t *testing.T) {
	h := newHouse(t)
	h.clinic.activate()
	doctor := h.join(t, "vc-one", "doctor", meeting.Practitioner, headless.Options{NoVideo: true})
	patient := h.join(t, "vc-one", "patient", meeting.Patient, headless.Options{NoVideo: true})
	waitMedia(t, doctor, 1)
	if err := doctor.MuteAll(); err != nil {
		t.Fatal(err)
	}
	wait(t, patient, "muted", func(s headless.Stats) bool { return !s.Audio })
	again := h.join(t, "vc-one", "patient", meeting.Patient, headless.Options{NoVideo: true})
	wait(t, again, "muted after the reload too", func(s headless.Stats) bool { return !s.Audio })
	if doctor.Stats().People[again.Seat()].Audio {
		t.Error("the reload lifted the mute")
	}
}

func TestRemovedPersonStaysOutUntilLetIn(t *testing.T) {
	h := newHouse(t)
	h.clinic.activate()
	doctor := h.join(t, "vc-one", "doctor", meeting.Practitioner, headless.Options{NoVideo: true})
	patient := h.join(t, "vc-one", "patient", meeting.Patient, headless.Options{NoVideo: true})
	waitMedia(t, doctor, 1)
	if err := doctor.Remove(patient.Seat()); err != nil {
		t.Fatal(err)
	}
	waitEnded(t, patient, signal.Removed)
	wait(t, doctor, "gone and listed", func(s headless.Stats) bool { return len(s.People) == 0 && len(s.Removed) == 1 })
	_, err := headless.Join(ctxOf(t), h.link(t, "vc-one", "patient", meeting.Patient), headless.Options{})
	if got := refusedCode(err); got != signal.CodeRemoved {
		t.Fatalf("entry after the removal gives %s", got)
	}
	if err := doctor.LetIn(patient.Seat()); err != nil {
		t.Fatal(err)
	}
	wait(t, doctor, "the list is empty", func(s headless.Stats) bool { return len(s.Removed) == 0 })
	h.join(t, "vc-one", "patient", meeting.Patient, headless.Options{NoVideo: true})
	waitMedia(t, doctor, 1)
	h.clinic.await(t, "joined doctor", "joined patient", "left patient", "joined patient")
}

func TestSoundOnlyAndNewMediaConnection(t *testing.T) {
	h := newHouse(t)
	h.clinic.activate()
	doctor := h.join(t, "vc-one", "doctor", meeting.Practitioner, headless.Options{})
	patient := h.join(t, "vc-one", "patient", meeting.Patient, headless.Options{})
	waitMedia(t, patient, 1)
	if err := patient.ReceiveVideo(false); err != nil {
		t.Fatal(err)
	}
	// Frames stop: the count stands still while a second of sound comes.
	var still headless.PersonStats
	wait(t, patient, "the picture stops", func(s headless.Stats) bool {
		who := s.People[doctor.Seat()]
		if who.Frames != still.Frames {
			still = who
		}
		return who.AudioPackets > still.AudioPackets+50
	})
	if err := patient.ReceiveVideo(true); err != nil {
		t.Fatal(err)
	}
	wait(t, patient, "the picture comes back", func(s headless.Stats) bool {
		who := s.People[doctor.Seat()]
		return who.KeyFrames > still.KeyFrames && who.Frames > still.Frames+1
	})
	if err := patient.Restart(); err != nil {
		t.Fatal(err)
	}
	wait(t, patient, "a new media connection", func(s headless.Stats) bool { return s.MediaConnection == 2 })
	before, seen := patient.Stats().People[doctor.Seat()], doctor.Stats().People[patient.Seat()]
	wait(t, patient, "media over it", func(s headless.Stats) bool {
		who := s.People[doctor.Seat()]
		return who.Frames > before.Frames+1 && who.AudioPackets > before.AudioPackets
	})
	wait(t, doctor, "media over it, the other way", func(s headless.Stats) bool {
		who := s.People[patient.Seat()]
		return who.Frames > seen.Frames+1 && who.AudioPackets > seen.AudioPackets
	})
}

func TestRestartOfTheExchangeIsResumed(t *testing.T) {
	h := newHouse(t)
	h.clinic.activate()
	patient := h.join(t, "vc-one", "patient", meeting.Patient, headless.Options{NoVideo: true})
	h.room.Stop()
	h.room.Stop()
	waitEnded(t, patient, "lost")
	if _, err := headless.Join(ctxOf(t), h.url+"/room/vc-one", headless.Options{Ticket: patient.Ticket()}); err == nil {
		t.Fatal("a stopped room let somebody in")
	}
	if err := h.room.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	back, err := headless.Join(ctxOf(t), h.url+"/room/vc-one", headless.Options{Ticket: patient.Ticket()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(back.Drop)
	if back.Seat() != patient.Seat() {
		t.Error("another seat after the restart")
	}
}

func TestNobodyEntersWithoutAdmission(t *testing.T) {
	h := newHouse(t, func(o *room.Options) { o.Admission = nil })
	link := h.link(t, "vc-one", "doctor", meeting.Practitioner)
	_, err := headless.Join(ctxOf(t), link, headless.Options{})
	if got := refusedCode(err); got != signal.CodeUnavailable {
		t.Errorf("got %s", got)
	}
	h.room.SetAdmission(h.clinic)
	p, err := headless.Join(ctxOf(t), link, headless.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p.Leave()
}

func TestIdleRoomsAreForgotten(t *testing.T) {
	h := newHouse(t, func(o *room.Options) { o.MaxRooms = 1 })
	p := h.join(t, "vc-one", "doctor", meeting.Practitioner, headless.Options{NoVideo: true})
	link := func() string { return h.link(t, "vc-two", "doctor", meeting.Practitioner) }
	// Somebody who is not admitted opens no room.
	_, err := headless.Join(ctxOf(t), h.link(t, "vc-two", "patient", meeting.Patient), headless.Options{})
	if got := refusedCode(err); got != signal.CodeNotAdmitted {
		t.Fatalf("a patient before activation gets %s", got)
	}
	_, err = headless.Join(ctxOf(t), link(), headless.Options{})
	if got := refusedCode(err); got != signal.CodeUnavailable {
		t.Fatalf("a room too many gives %s", got)
	}
	p.Leave()
	h.clinic.await(t, "joined doctor", "left doctor")
	h.clock.advance(11 * time.Minute)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if rooms, _, _ := h.room.Counts(t.Context()); rooms == 0 {
			break
		}
		select {
		case <-tick.C:
		case <-ctxOf(t).Done():
			t.Fatal("the idle room is still there")
		}
	}
	p, err = headless.Join(ctxOf(t), link(), headless.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p.Leave()
}

func TestOptionsAreChecked(t *testing.T) {
	address := func() string { return "https://vc.example" }
	for name, opts := range map[string]room.Options{
		"no address":   {Secret: []byte(strings.Repeat("x", 32))},
		"short secret": {PublicURL: address, Secret: []byte(strings.Repeat("x", 31))},
	} {
		if _, err := room.New(opts); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	r, err := room.New(room.Options{PublicURL: address, Secret: []byte(strings.Repeat("x", 32)), UDPAddr: "not an address"})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(context.Background()); err == nil {
		t.Error("a port that cannot be opened was accepted")
	}
	r.Stop()
}
