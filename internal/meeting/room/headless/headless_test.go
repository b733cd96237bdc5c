package headless

import (
	"errors"
	"testing"
)

func TestClipIsWhole(t *testing.T) {
	c, err := clip()
	if err != nil {
		t.Fatal(err)
	}
	if len(c.pictures) != 60 || len(c.sounds) < 100 {
		t.Fatalf("%d pictures and %d sounds", len(c.pictures), len(c.sounds))
	}
	for i, p := range c.pictures {
		if key := p[0]&1 == 0; key != (i == 0) {
			t.Errorf("picture %d: key frame is %v", i, key)
		}
	}
}

func TestSocketURL(t *testing.T) {
	for _, tt := range []struct{ link, address, token string }{
		{"https://vc.example/room/vc-1#jwt=a.b.c", "wss://vc.example/room/vc-1/socket", "a.b.c"},
		{"http://127.0.0.1:8080/room/vc-1?lang=ms#jwt=a.b.c", "ws://127.0.0.1:8080/room/vc-1/socket", "a.b.c"},
		{"http://127.0.0.1:8080/room/vc-1", "ws://127.0.0.1:8080/room/vc-1/socket", ""},
	} {
		address, token, err := socketURL(tt.link)
		if err != nil || address != tt.address || token != tt.token {
			t.Errorf("%s gives %s, %s, %v", tt.link, address, token, err)
		}
	}
	if _, _, err := socketURL("http://a b/"); err == nil {
		t.Error("a wrong address was accepted")
	}
}

func TestJoinFailsWhereNobodyListens(t *testing.T) {
	_, err := Join(t.Context(), "http://127.0.0.1:1/room/vc-1#jwt=x", Options{})
	var refused *Refused
	if err == nil || errors.As(err, &refused) {
		t.Errorf("got %v", err)
	}
}
