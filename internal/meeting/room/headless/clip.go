package headless

import (
	"bytes"
	_ "embed"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/pion/webrtc/v4/pkg/media/ivfreader"
	"github.com/pion/webrtc/v4/pkg/media/oggreader"
)

const (
	soundInterval   = 20 * time.Millisecond
	pictureInterval = time.Second / 15
)

var (
	//go:embed clip.ivf
	clipFile []byte
	//go:embed tone.ogg
	toneFile []byte
)

// clip gives the encoded pictures, of which the first is a key frame, and the
// encoded sounds.
var clip = sync.OnceValues(func() (c struct{ pictures, sounds [][]byte }, err error) {
	if c.pictures, err = pictures(); err != nil {
		return c, err
	}
	c.sounds, err = sounds()
	return c, err
})

func pictures() ([][]byte, error) {
	r, _, err := ivfreader.NewWith(bytes.NewReader(clipFile))
	if err != nil {
		return nil, err
	}
	var all [][]byte
	for {
		frame, _, err := r.ParseNextFrame()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, frame)
	}
}

func sounds() ([][]byte, error) {
	r, _, err := oggreader.NewWith(bytes.NewReader(toneFile))
	if err != nil {
		return nil, err
	}
	var all [][]byte
	for {
		packet, _, err := r.ParseNextPage()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		if len(packet) > 0 && !bytes.HasPrefix(packet, []byte("OpusTags")) {
			all = append(all, packet)
		}
	}
}
