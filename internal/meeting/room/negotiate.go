package room

import (
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"github.com/jumpa-hie/jumpa/internal/meeting/room/signal"
)

// answerTimeout is how long a participant may take to answer an offer. A phone
// that sleeps does not answer; it comes back with its ticket.
const answerTimeout = 30 * time.Second

// negotiator owns the media connection of one participant: one goroutine, one
// offer at a time. What changes while an offer is open waits for its answer.
type negotiator struct {
	conn    *connection
	pc      *webrtc.PeerConnection
	number  int  // of the media connection
	offer   int  // of the offer, across media connections
	open    bool // an offer waits for its answer
	pending bool // something changed meanwhile
	subs    map[*stream]*webrtc.RTPSender
	expired *time.Timer
	tasks   sync.WaitGroup // readers of reports
}

func newNegotiator(conn *connection) *negotiator {
	return &negotiator{conn: conn, expired: time.NewTimer(answerTimeout)}
}

func (n *negotiator) run() {
	defer n.conn.cancel()
	defer n.expired.Stop()
	if !n.connect() {
		return
	}
	defer n.tasks.Wait()
	defer func() { _ = n.pc.Close() }()
	for {
		ok := true
		select {
		case <-n.conn.ctx.Done():
			return
		case <-n.expired.C:
			ok = !n.open
		case <-n.conn.dirty:
			ok = n.reconcile(false)
		case m := <-n.conn.answers:
			ok = n.answered(m)
		case <-n.conn.restarts:
			_ = n.pc.Close()
			ok = n.connect()
		}
		if !ok {
			return
		}
	}
}

// connect makes a new media connection with two places for what the
// participant sends, and offers it.
func (n *negotiator) connect() bool {
	r := n.conn.call.room
	r.mu.Lock()
	m := r.media
	r.mu.Unlock()
	if m == nil {
		return false
	}
	pc, err := m.api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		r.opts.Log.Error("media connection", "error", err)
		return false
	}
	n.pc, n.open, n.pending = pc, false, false
	n.number++
	n.subs = map[*stream]*webrtc.RTPSender{}
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		if _, err := pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			r.opts.Log.Error("media connection", "error", err)
			_ = pc.Close()
			return false
		}
	}
	conn := n.conn
	pc.OnTrack(func(remote *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { conn.receive(pc, remote) })
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			for _, st := range conn.call.streamsFor(conn) {
				st.wantKeyFrame()
			}
		}
	})
	if !n.reconcile(true) {
		_ = pc.Close()
		return false
	}
	return true
}

// receive forwards one stream of the participant for as long as it lasts.
// The connection it comes over ends it.
func (conn *connection) receive(pc *webrtc.PeerConnection, remote *webrtc.TrackRemote) {
	st, err := newStream(remote, conn.seat.id, pc)
	if err != nil || !conn.call.publish(conn, st) {
		return
	}
	defer conn.call.withdraw(conn, st)
	st.forward(remote, &conn.seat.held)
}

// reconcile makes the connection send exactly the streams of the others and
// offers the change, if there is one or always is set.
func (n *negotiator) reconcile(always bool) bool {
	if n.open {
		n.pending = true
		return true
	}
	wanted := n.conn.call.streamsFor(n.conn)
	keep := make(map[*stream]bool, len(wanted))
	for _, st := range wanted {
		keep[st] = true
	}
	changed := always
	for st, sender := range n.subs {
		if keep[st] {
			continue
		}
		if n.pc.RemoveTrack(sender) != nil {
			return false
		}
		delete(n.subs, st)
		changed = true
	}
	for _, st := range wanted {
		if n.subs[st] != nil {
			continue
		}
		if !n.subscribe(st) {
			return false
		}
		changed = true
	}
	return !changed || n.propose()
}

// subscribe sends st, over the participant's own place or one that somebody
// before has left if there is one: people who come and go must not make the
// offers grow.
func (n *negotiator) subscribe(st *stream) bool {
	sender, err := n.pc.AddTrack(st.local)
	if err != nil {
		return false
	}
	n.subs[st] = sender
	n.tasks.Go(func() { listen(sender, st) })
	return true
}

// listen reads what a receiver reports on one stream: lost packets are sent
// again by the interceptors, a lost picture is asked for at the source. It
// ends with the sender.
func listen(sender *webrtc.RTPSender, st *stream) {
	for {
		packets, _, err := sender.ReadRTCP()
		if err != nil {
			return
		}
		for _, p := range packets {
			switch p.(type) {
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				st.wantKeyFrame()
			}
		}
	}
}

// propose offers the present state. The offer holds all candidates: the
// room's addresses are known at once.
func (n *negotiator) propose() bool {
	offer, err := n.pc.CreateOffer(nil)
	if err != nil {
		return false
	}
	gathered := webrtc.GatheringCompletePromise(n.pc)
	if n.pc.SetLocalDescription(offer) != nil {
		return false
	}
	select {
	case <-gathered:
	case <-n.conn.ctx.Done():
		return false
	}
	n.offer++
	n.open, n.pending = true, false
	n.expired.Reset(answerTimeout)
	n.conn.send(signal.Message{Type: signal.Offer, Connection: n.number, Offer: n.offer, SDP: n.pc.LocalDescription().SDP})
	return true
}

// answered takes the answer to the open offer; an answer to an older one, of a
// connection that was replaced, is ignored.
func (n *negotiator) answered(m signal.Message) bool {
	if !n.open || m.Connection != n.number || m.Offer != n.offer {
		return true
	}
	if n.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: m.SDP}) != nil {
		return false
	}
	n.open = false
	for st := range n.subs {
		if st.isVideo() {
			st.wantKeyFrame()
		}
	}
	return !n.pending || n.reconcile(false)
}
