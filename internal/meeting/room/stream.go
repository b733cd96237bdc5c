package room

import (
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
)

const (
	keyFrameThrottle = 500 * time.Millisecond
	maxPacket        = 1500
)

// stream is one sound or picture that somebody sends, forwarded to all who
// subscribe to it.
type stream struct {
	kind  webrtc.RTPCodecType
	local *webrtc.TrackLocalStaticRTP
	ask   func() // sends one picture loss indication to the sender

	wanted  atomic.Bool  // a receiver waits for a key frame
	askedAt atomic.Int64 // monotonic, nanoseconds since epoch
}

var epoch = time.Now()

func newStream(remote *webrtc.TrackRemote, seat string, pc *webrtc.PeerConnection) (*stream, error) {
	capability, name := opus, "audio"
	if remote.Kind() == webrtc.RTPCodecTypeVideo {
		capability, name = vp8, "video"
	}
	local, err := webrtc.NewTrackLocalStaticRTP(capability, name+"-"+seat, seat)
	if err != nil {
		return nil, err
	}
	ssrc := uint32(remote.SSRC())
	st := &stream{kind: remote.Kind(), local: local}
	st.askedAt.Store(-int64(time.Hour))
	st.ask = func() {
		// An error means that the connection is gone, and the stream with it.
		_ = pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: ssrc}})
	}
	return st, nil
}

func (st *stream) isVideo() bool { return st.kind == webrtc.RTPCodecTypeVideo }

// wantKeyFrame asks the sender for a picture that needs none before it. The
// next packets repeat it, at most twice a second, until one has passed.
func (st *stream) wantKeyFrame() {
	if st.isVideo() {
		st.wanted.Store(true)
		st.askAgain()
	}
}

func (st *stream) askAgain() {
	now, last := int64(time.Since(epoch)), st.askedAt.Load()
	if now-last >= int64(keyFrameThrottle) && st.askedAt.CompareAndSwap(last, now) {
		st.ask()
	}
}

// forward copies packets until the sender's connection ends. While held is
// true sound is dropped, and the numbering goes on without a gap afterwards,
// so that receivers do not take the silence for loss.
func (st *stream) forward(remote *webrtc.TrackRemote, held *atomic.Bool) {
	buf := make([]byte, maxPacket)
	var packet rtp.Packet
	var offset, last uint16
	var gap, started bool
	for {
		n, _, err := remote.Read(buf)
		if err != nil {
			return
		}
		packet = rtp.Packet{}
		if packet.Unmarshal(buf[:n]) != nil {
			continue
		}
		if !st.isVideo() && held.Load() {
			gap = started
			continue
		}
		if gap {
			offset, gap = packet.SequenceNumber-last-1, false
		}
		switch {
		case !st.isVideo() || !st.wanted.Load():
		case isKeyFrame(packet.Payload):
			st.wanted.Store(false)
		default:
			st.askAgain()
		}
		packet.SequenceNumber -= offset
		if ahead := packet.SequenceNumber - last; !started || ahead < 1<<15 {
			last, started = packet.SequenceNumber, true
		}
		// Extensions are an agreement with the sender alone.
		packet.Extension, packet.ExtensionProfile, packet.Extensions = false, 0, nil
		// A receiver that is gone is taken off by its own connection.
		_ = st.local.WriteRTP(&packet)
	}
}

// isKeyFrame tells whether a VP8 packet starts a picture that needs none before it.
func isKeyFrame(payload []byte) bool {
	var p codecs.VP8Packet
	frame, err := p.Unmarshal(payload)
	return err == nil && p.S == 1 && p.PID == 0 && len(frame) > 0 && frame[0]&0x01 == 0
}
