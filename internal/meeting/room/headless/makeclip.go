//go:build ignore

// Makeclip draws and encodes the picture and the sound that a headless
// participant sends, with the encoders of a Chromium: clip.ivf (VP8) and
// tone.ogg (Opus). Both are of our own making. Run it in its directory:
//
//	go run makeclip.go
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"log"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/chromedp/chromedp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4/pkg/media/oggwriter"
)

// Four seconds of a disc that circles a slowly moving band, 15 pictures a
// second; the first one needs none before it.
const draw = `(async () => {
  const bytes = c => { const b = new Uint8Array(c.byteLength); c.copyTo(b); return btoa(String.fromCharCode(...b)); };
  const frames = [], sounds = [];
  const video = new VideoEncoder({output: c => frames.push(bytes(c)), error: e => { throw e; }});
  video.configure({codec: 'vp8', width: 320, height: 240, bitrate: 60000, framerate: 15, latencyMode: 'realtime'});
  const canvas = new OffscreenCanvas(320, 240), g = canvas.getContext('2d');
  for (let i = 0; i < 60; i++) {
    const turn = 2 * Math.PI * i / 60;
    g.fillStyle = '#1D4ED8'; g.fillRect(0, 0, 320, 240);
    g.fillStyle = '#15803D'; g.fillRect(0, 190 + 10 * Math.sin(turn), 320, 60);
    g.fillStyle = '#F4F4F5'; g.beginPath(); g.arc(160 + 70 * Math.cos(turn), 110 + 50 * Math.sin(turn), 32, 0, 7); g.fill();
    const f = new VideoFrame(canvas, {timestamp: i * 1e6 / 15});
    video.encode(f, {keyFrame: i === 0}); f.close();
  }
  await video.flush();
  const audio = new AudioEncoder({output: c => sounds.push(bytes(c)), error: e => { throw e; }});
  audio.configure({codec: 'opus', sampleRate: 48000, numberOfChannels: 1, bitrate: 16000, opus: {frameDuration: 20000}});
  for (let i = 0; i < 100; i++) {
    const s = new Float32Array(960);
    for (let k = 0; k < 960; k++) {
      const t = (i * 960 + k) / 48000;
      s[k] = 0.12 * Math.sin(2 * Math.PI * (t % 1 < 0.5 ? 330 : 440) * t) * Math.sin(Math.PI * (t % 0.5) * 2) ** 2;
    }
    const d = new AudioData({format: 'f32', sampleRate: 48000, numberOfFrames: 960, numberOfChannels: 1, timestamp: i * 20000, data: s});
    audio.encode(d); d.close();
  }
  await audio.flush();
  return {frames, sounds};
})()`

func main() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<!doctype html>")) }))
	defer server.Close()
	allocator, stop := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox)...)
	defer stop()
	ctx, cancel := chromedp.NewContext(allocator)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(server.URL)); err != nil {
		log.Fatal(err)
	}
	made, err := chromedp.Run(ctx, chromedp.Evaluate[struct {
		Frames [][]byte `json:"frames"`
		Sounds [][]byte `json:"sounds"`
	}](draw, chromedp.EvalAwaitPromise))
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile("clip.ivf", ivf(made.Frames), 0o644); err != nil {
		log.Fatal(err)
	}
	if err := writeOgg("tone.ogg", made.Sounds); err != nil {
		log.Fatal(err)
	}
}

func ivf(frames [][]byte) []byte {
	var b bytes.Buffer
	b.WriteString("DKIF")
	for _, v := range []any{uint16(0), uint16(32)} {
		_ = binary.Write(&b, binary.LittleEndian, v)
	}
	b.WriteString("VP80")
	for _, v := range []any{uint16(320), uint16(240), uint32(15), uint32(1), uint32(len(frames)), uint32(0)} {
		_ = binary.Write(&b, binary.LittleEndian, v)
	}
	for i, f := range frames {
		_ = binary.Write(&b, binary.LittleEndian, uint32(len(f)))
		_ = binary.Write(&b, binary.LittleEndian, uint64(i))
		b.Write(f)
	}
	return b.Bytes()
}

func writeOgg(name string, packets [][]byte) error {
	w, err := oggwriter.New(name, 48000, 1)
	if err != nil {
		return err
	}
	for i, p := range packets {
		packet := &rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(i), Timestamp: uint32(i) * 960}, Payload: p}
		if err := w.WriteRTP(packet); err != nil {
			return err
		}
	}
	return w.Close()
}
