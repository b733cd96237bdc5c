// Package preset is how a call of a consultation looks and what may be done in
// it, for every deployment of Jitsi.
//
// Features are kept by Jitsi's servers, which read them in the token. The
// settings of the page only hide what is not wanted: whoever is in a call can
// bring them back in the address. Keys that web apps take from an address are
// few, and others have no effect; only those are used.
package preset

import (
	"encoding/json"
	"net/url"
	"sort"
	"strings"

	"github.com/jumpa-hie/jumpa/internal/meeting"
)

// Features gives what a role may do in a Jitsi call. It lists every feature,
// because Jitsi gives a moderator those that a token does not mention at all.
func Features(meeting.Role) map[string]bool {
	return map[string]bool{
		"send-groupchat": true,
		"recording":      false, "livestreaming": false, "transcription": false,
		"outbound-call": false, "inbound-call": false, "sip-inbound-call": false, "sip-outbound-call": false,
		"create-polls": false, "file-upload": false, "flip": false, "list-visitors": false,
	}
}

// Settings gives the settings of the web app for a role, by key.
func Settings(role meeting.Role) map[string]any {
	buttons := []string{"microphone", "camera", "chat", "settings", "hangup"}
	if role == meeting.Practitioner {
		buttons = append(buttons, "desktop")
	}
	return map[string]any{
		"toolbarButtons":                  buttons,
		"prejoinConfig.enabled":           false, // the device test is ours
		"disableDeepLinking":              true,
		"disableInviteFunctions":          true,
		"doNotStoreRoom":                  true,
		"disableThirdPartyRequests":       true,
		"gravatar.disabled":               true,
		"analytics.disabled":              true,
		"hideConferenceSubject":           true,
		"readOnlyName":                    true,
		"localRecording.disable":          true,
		"liveStreaming.enabled":           false,
		"transcription.enabled":           false,
		"giphy.enabled":                   false,
		"whiteboard.enabled":              false,
		"fileSharing.enabled":             false,
		"disablePolls":                    true,
		"securityUi.hideLobbyButton":      true,
		"securityUi.disableLobbyPassword": true,
		"p2p.enabled":                     true,
	}
}

// Fragment gives the part of a call's address that browsers do not send to
// servers: the token, and the settings. The values are JSON, as the web app
// reads them.
func Fragment(token string, role meeting.Role) string {
	settings := Settings(role)
	keys := make([]string, 0, len(settings))
	for key := range settings {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	var b strings.Builder
	b.WriteString("#jwt=" + url.QueryEscape(`"`+token+`"`))
	for _, key := range keys {
		value, _ := json.Marshal(settings[key]) // strings and booleans: cannot fail
		b.WriteString("&config." + key + "=" + url.QueryEscape(string(value)))
	}
	return b.String()
}
