package headless

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/logging"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"

	"github.com/jumpa-hie/jumpa/internal/meeting/room/signal"
)

var (
	opus = webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1"}
	vp8  = webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000}
)

// newAPI sets up what a browser would bring: the two codecs, repair of lost
// packets, reports.
func newAPI() (*webrtc.API, error) {
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.LoggerFactory = &logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled}
	engine, registry := &webrtc.MediaEngine{}, &interceptor.Registry{}
	if err := engine.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: opus, PayloadType: 111}, webrtc.RTPCodecTypeAudio); err != nil {
		return nil, err
	}
	if err := engine.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: vp8, PayloadType: 96}, webrtc.RTPCodecTypeVideo); err != nil {
		return nil, err
	}
	generator := []nack.GeneratorOption{nack.WithGeneratorLoggerFactory(s.LoggerFactory)}
	if err := webrtc.ConfigureNackWithOptions(engine, registry, generator, nack.WithResponderLoggerFactory(s.LoggerFactory)); err != nil {
		return nil, err
	}
	reports := []report.ReceiverOption{report.WithReceiverLoggerFactory(s.LoggerFactory)}
	if err := webrtc.ConfigureRTCPReportsWithOptions(registry, reports, report.WithSenderLoggerFactory(s.LoggerFactory)); err != nil {
		return nil, err
	}
	return webrtc.NewAPI(webrtc.WithSettingEngine(s), webrtc.WithMediaEngine(engine), webrtc.WithInterceptorRegistry(registry)), nil
}

// answer takes an offer, on a new media connection when the room has made one.
func (p *Participant) answer(m signal.Message) error {
	p.mu.Lock()
	pc, fresh := p.pc, p.number != m.Connection
	p.number, p.sections = m.Connection, strings.Count(m.SDP, "\nm=")
	p.mu.Unlock()
	if fresh {
		if pc != nil {
			_ = pc.Close()
		}
		var err error
		if pc, err = p.connect(); err != nil {
			return err
		}
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: m.SDP}); err != nil {
		return fmt.Errorf("take the offer of the room: %w", err)
	}
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		return fmt.Errorf("answer the room: %w", err)
	}
	if err := pc.SetLocalDescription(answer); err != nil {
		return fmt.Errorf("answer the room: %w", err)
	}
	return p.write(p.ctx, signal.Message{Type: signal.Answer, Connection: m.Connection, Offer: m.Offer, SDP: answer.SDP})
}

func (p *Participant) connect() (*webrtc.PeerConnection, error) {
	pc, err := p.api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.pc = pc
	p.mu.Unlock()
	if !p.opts.NoAudio {
		if _, err := pc.AddTrack(p.sound); err != nil {
			return nil, err
		}
	}
	if !p.opts.NoVideo {
		sender, err := pc.AddTrack(p.picture)
		if err != nil {
			return nil, err
		}
		p.tasks.Go(func() { p.hear(sender) })
	}
	pc.OnTrack(func(t *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { p.count(t) })
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			p.keyFrame.Store(true)
		}
	})
	return pc, nil
}

// hear listens for requests of a key frame until the sender's connection closes.
func (p *Participant) hear(sender *webrtc.RTPSender) {
	for {
		packets, _, err := sender.ReadRTCP()
		if err != nil {
			return
		}
		for _, packet := range packets {
			if _, ok := packet.(*rtcp.PictureLossIndication); ok {
				p.keyFrame.Store(true)
			}
		}
	}
}

// play sends the clip and the tone in a loop. Writing before the connection
// stands goes nowhere, and is no error.
func (p *Participant) play() {
	c, err := clip()
	if err != nil {
		return // the embedded files are checked by a test
	}
	sound, picture := time.NewTicker(soundInterval), time.NewTicker(pictureInterval)
	defer sound.Stop()
	defer picture.Stop()
	var nextSound, nextPicture int
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-sound.C:
			if p.audio.Load() {
				_ = p.sound.WriteSample(media.Sample{Data: c.sounds[nextSound%len(c.sounds)], Duration: soundInterval})
				nextSound++
			}
		case <-picture.C:
			if p.keyFrame.Swap(false) {
				nextPicture = 0
			}
			if p.video.Load() {
				_ = p.picture.WriteSample(media.Sample{Data: c.pictures[nextPicture%len(c.pictures)], Duration: pictureInterval})
				nextPicture++
			}
		}
	}
}

// PersonStats is what came from one person since the join, over reconnections.
type PersonStats struct {
	Name, Role                 string
	Audio, Video, Away         bool // what the room says of the person now
	AudioPackets, VideoPackets int
	AudioBytes, VideoBytes     int64 // payload only
	Frames, KeyFrames          int
}

// Stats is the state of a participant at one moment.
type Stats struct {
	Seat            string
	Audio, Video    bool                   // what is being sent
	People          map[string]PersonStats // the others, by seat
	Removed         []string               // seats of people sent out, for practitioners
	Declined        string                 // code of the last request that was declined
	MediaConnection int                    // counts the media connections
	MediaSections   int                    // of the last offer
}

// count reads one stream until it ends.
func (p *Participant) count(t *webrtc.TrackRemote) {
	buf := make([]byte, 1500)
	var packet rtp.Packet
	for {
		n, _, err := t.Read(buf)
		if err != nil {
			return
		}
		packet = rtp.Packet{}
		if packet.Unmarshal(buf[:n]) == nil {
			p.add(t.StreamID(), t.Kind(), &packet)
		}
	}
}

func (p *Participant) add(seat string, kind webrtc.RTPCodecType, packet *rtp.Packet) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.received[seat]
	if s == nil {
		s = &PersonStats{}
		p.received[seat] = s
	}
	if kind == webrtc.RTPCodecTypeAudio {
		s.AudioPackets++
		s.AudioBytes += int64(len(packet.Payload))
		return
	}
	s.VideoPackets++
	s.VideoBytes += int64(len(packet.Payload))
	if packet.Marker {
		s.Frames++
	}
	var v codecs.VP8Packet
	if frame, err := v.Unmarshal(packet.Payload); err == nil && v.S == 1 && v.PID == 0 && len(frame) > 0 && frame[0]&0x01 == 0 {
		s.KeyFrames++
	}
}

// Stats gives who is there and what came from each.
func (p *Participant) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	st := Stats{
		Seat: p.seat, Audio: p.audio.Load(), Video: p.video.Load(), People: map[string]PersonStats{},
		Declined: p.declined, MediaConnection: p.number, MediaSections: p.sections,
	}
	for _, who := range p.people {
		if who.Seat == p.seat {
			continue
		}
		var s PersonStats
		if r := p.received[who.Seat]; r != nil {
			s = *r
		}
		s.Name, s.Role, s.Audio, s.Video, s.Away = who.Name, who.Role, who.Audio, who.Video, who.Away
		st.People[who.Seat] = s
	}
	for _, who := range p.removed {
		st.Removed = append(st.Removed, who.Seat)
	}
	return st
}

// Wait returns when ok holds. It fails when ctx ends or the participation does.
func (p *Participant) Wait(ctx context.Context, ok func(Stats) bool) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		if ok(p.Stats()) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.ended:
			return fmt.Errorf("the call is over: %s", p.EndReason())
		case <-tick.C:
		}
	}
}

// WaitMedia returns when at least people others are heard and seen: sound from
// each who sends sound, a whole picture from each who sends pictures.
func (p *Participant) WaitMedia(ctx context.Context, people int) error {
	err := p.Wait(ctx, func(s Stats) bool {
		n := 0
		for _, who := range s.People {
			if (who.Audio || who.Video) && (!who.Audio || who.AudioPackets > 0) && (!who.Video || (who.KeyFrames > 0 && who.Frames > 1)) {
				n++
			}
		}
		return n >= people
	})
	if err != nil {
		return fmt.Errorf("media of %d people: %w", people, err)
	}
	return nil
}
