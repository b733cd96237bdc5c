package ui

import "testing"

func TestCallOf(t *testing.T) {
	const jitsi, jaas = "https://meet.example.my", "https://8x8.vc"
	for _, c := range []struct {
		name, joinURL, origin string
		lang                  Lang
		want                  Call
	}{
		{"our own call", "https://hie.example.my/room/vc-a#jwt=x", "", Malay, Call{Frame: "https://hie.example.my/room/vc-a?lang=ms#jwt=x"}},
		{"Jitsi in Malay", jitsi + "/vc-a#jwt=x", jitsi, Malay, Call{Script: jitsi + "/external_api.js", Address: jitsi + "/vc-a?lang=id#jwt=x"}},
		{"Jitsi in English", jitsi + "/vc-a#jwt=x", jitsi, English, Call{Script: jitsi + "/external_api.js", Address: jitsi + "/vc-a?lang=en#jwt=x"}},
		{"Jitsi in Chinese", jitsi + "/vc-a#jwt=x", jitsi, Chinese, Call{Script: jitsi + "/external_api.js", Address: jitsi + "/vc-a?lang=zh-CN#jwt=x"}},
		{"Jitsi in Tamil", jitsi + "/vc-a#jwt=x", jitsi, Tamil, Call{Script: jitsi + "/external_api.js", Address: jitsi + "/vc-a?lang=en#jwt=x"}},
		{"JaaS, with its tenant", jaas + "/vpaas-1/vc-a#jwt=x", jaas, English, Call{Script: jaas + "/vpaas-1/external_api.js", Address: jaas + "/vpaas-1/vc-a?lang=en#jwt=x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := CallOf(c.joinURL, c.origin, c.lang); err != nil || got != c.want {
				t.Errorf("got %+v, %v; want %+v", got, err, c.want)
			}
		})
	}
	for _, joinURL := range []string{"https://evil.example/vc-a#jwt=secret", "http://meet.example.my/vc-a", "javascript:alert(1)", "://secret"} {
		if got, err := CallOf(joinURL, jitsi, English); err != errCall || got != (Call{}) {
			t.Errorf("%s: %+v, %v", joinURL, got, err)
		}
	}
}
