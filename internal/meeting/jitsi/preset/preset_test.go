package preset_test

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsi/preset"
)

func TestEveryFeatureIsListed(t *testing.T) {
	for _, role := range []meeting.Role{meeting.Practitioner, meeting.Patient} {
		f := preset.Features(role)
		for _, name := range []string{"recording", "livestreaming", "transcription", "outbound-call", "sip-outbound-call", "file-upload"} {
			if on, listed := f[name]; !listed || on {
				t.Errorf("%s: %s is listed %v, on %v", role, name, listed, on)
			}
		}
	}
}

// whitelisted are the settings, or the first part of them, that Jitsi's web app
// takes from an address.
var whitelisted = []string{
	"analytics.disabled", "disableDeepLinking", "disableInviteFunctions", "disablePolls", "disableThirdPartyRequests", "doNotStoreRoom",
	"fileSharing.enabled", "giphy", "gravatar.disabled", "hideConferenceSubject", "liveStreaming.enabled", "localRecording", "p2p.enabled",
	"prejoinConfig.enabled", "readOnlyName", "securityUi", "toolbarButtons", "transcription", "whiteboard.enabled",
}

func TestTheFragmentHasWhatTheWebAppTakes(t *testing.T) {
	for role, screen := range map[meeting.Role]bool{meeting.Practitioner: true, meeting.Patient: false} {
		fragment, found := strings.CutPrefix(preset.Fragment("a.b.c", role), "#")
		values, err := url.ParseQuery(fragment)
		if err != nil || !found {
			t.Fatal(err)
		}
		if values.Get("jwt") != `"a.b.c"` {
			t.Errorf("jwt=%s", values.Get("jwt"))
		}
		values.Del("jwt")
		if len(values) < 15 {
			t.Errorf("only %d settings", len(values))
		}
		for key, value := range values {
			name, ok := strings.CutPrefix(key, "config.")
			if !ok || !slices.ContainsFunc(whitelisted, func(w string) bool { return name == w || strings.HasPrefix(name, w+".") }) {
				t.Errorf("%s is not taken from an address", key)
			}
			var any any
			if err := json.Unmarshal([]byte(value[0]), &any); err != nil || len(value) != 1 {
				t.Errorf("%s=%q: %v", key, value, err)
			}
		}
		var buttons []string
		if err := json.Unmarshal([]byte(values.Get("config.toolbarButtons")), &buttons); err != nil {
			t.Fatal(err)
		}
		if slices.Contains(buttons, "desktop") != screen || !slices.Contains(buttons, "hangup") || slices.Contains(buttons, "recording") {
			t.Errorf("%s has the buttons %v", role, buttons)
		}
	}
}
