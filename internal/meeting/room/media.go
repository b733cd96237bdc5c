package room

import (
	"fmt"
	"net"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/logging"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// keptPackets is how many packets of a stream are kept for a receiver that
// lost some: about three seconds of video.
const keptPackets = 128

var (
	opus = webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1"}
	vp8  = webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000, RTCPFeedback: []webrtc.RTCPFeedback{{Type: "ccm", Parameter: "fir"}}}
)

// media is the one UDP port and what every connection of the room shares.
type media struct {
	conn net.PacketConn
	mux  *ice.UDPMuxDefault
	api  *webrtc.API
}

// quiet makes pion keep its log to itself: it would name addresses of people.
func quiet() logging.LoggerFactory {
	return &logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled}
}

func listenMedia(address string) (*media, error) {
	udp, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, fmt.Errorf("address of the call port: %w", err)
	}
	network := "udp4"
	if udp.IP != nil && udp.IP.To4() == nil {
		network = "udp"
	}
	conn, err := net.ListenUDP(network, udp)
	if err != nil {
		return nil, fmt.Errorf("open the call port: %w", err)
	}
	// A full room of video arrives in bursts; the default buffers would drop them.
	_ = conn.SetReadBuffer(4 << 20)
	_ = conn.SetWriteBuffer(4 << 20)
	m := &media{conn: conn}
	m.mux = ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: conn, UDPConnString: conn.LocalAddr().String(), Logger: quiet().NewLogger("mux")})
	if m.api, err = newAPI(m.mux); err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

func (m *media) close() {
	_ = m.mux.Close()
	_ = m.conn.Close()
}

// newAPI sets up an ICE-lite endpoint: the room has one known address, people
// find their way to it, whatever network they sit in.
func newAPI(mux ice.UDPMux) (*webrtc.API, error) {
	var s webrtc.SettingEngine
	s.SetLite(true)
	s.SetICEUDPMux(mux)
	s.SetIncludeLoopbackCandidate(true)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6})
	s.SetICETimeouts(5*time.Second, 25*time.Second, 2*time.Second)
	s.LoggerFactory = quiet()

	engine, registry := &webrtc.MediaEngine{}, &interceptor.Registry{}
	if err := configure(engine, registry); err != nil {
		return nil, fmt.Errorf("set up the media of the call room: %w", err)
	}
	return webrtc.NewAPI(webrtc.WithSettingEngine(s), webrtc.WithMediaEngine(engine), webrtc.WithInterceptorRegistry(registry)), nil
}

// configure registers the two codecs that every browser has, repair of lost
// packets, reports, and the feedback by which a sender finds its bandwidth.
func configure(engine *webrtc.MediaEngine, registry *interceptor.Registry) error {
	codecs := []struct {
		capability webrtc.RTPCodecCapability
		payload    webrtc.PayloadType
		kind       webrtc.RTPCodecType
	}{{opus, 111, webrtc.RTPCodecTypeAudio}, {vp8, 96, webrtc.RTPCodecTypeVideo}}
	for _, c := range codecs {
		if err := engine.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: c.capability, PayloadType: c.payload}, c.kind); err != nil {
			return err
		}
		if err := engine.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: sdp.SDESMidURI}, c.kind); err != nil {
			return err
		}
	}
	generator := []nack.GeneratorOption{nack.WithGeneratorLoggerFactory(quiet())}
	err := webrtc.ConfigureNackWithOptions(engine, registry, generator, nack.ResponderSize(keptPackets), nack.WithResponderLoggerFactory(quiet()))
	if err != nil {
		return err
	}
	reports := []report.ReceiverOption{report.WithReceiverLoggerFactory(quiet())}
	if err := webrtc.ConfigureRTCPReportsWithOptions(registry, reports, report.WithSenderLoggerFactory(quiet())); err != nil {
		return err
	}
	return webrtc.ConfigureTWCCSenderWithOptions(engine, registry, twcc.WithLoggerFactory(quiet()))
}
