package ui

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// Call is how a page embeds a video call. Frame and Address hold credentials:
// they belong on a page that is not kept, and nowhere else.
type Call struct {
	Frame   string // address for a frame, of the exchange's own calls
	Script  string // of the IFrame API, of a Jitsi deployment
	Address string // of the call at that deployment
}

// errCall hides an address, for it holds credentials.
var errCall = errors.New("ui: the video system gave an address of a call that is none")

// jitsiLangs are the languages of Jitsi's web app for ours. It has neither
// Malay nor Tamil; who reads Malay reads Indonesian.
var jitsiLangs = map[Lang]string{Malay: "id", English: "en", Chinese: "zh-CN", Tamil: "en"}

// CallOf gives the call at joinURL in a language. origin is that of the video
// system, "" when the calls are the exchange's own; an address anywhere else is
// refused.
func CallOf(joinURL, origin string, l Lang) (Call, error) {
	u, err := url.Parse(joinURL)
	if err != nil || origin != "" && u.Scheme+"://"+u.Host != origin {
		return Call{}, errCall
	}
	q := u.Query()
	if origin == "" {
		q.Set("lang", string(l))
		u.RawQuery = q.Encode()
		return Call{Frame: u.String()}, nil
	}
	q.Set("lang", jitsiLangs[l])
	u.RawQuery = q.Encode()
	folder := u.Path[:strings.LastIndex(u.Path, "/")+1] // JaaS has one for each tenant
	return Call{Script: origin + folder + "external_api.js", Address: u.String()}, nil
}

// AllowCall lets one page embed the calls of origin, "" for the exchange's own:
// its frame, with camera and microphone, and the script of its IFrame API.
func AllowCall(h http.Header, origin string) {
	if origin == "" {
		h.Set("Content-Security-Policy", policy+scripts+"; frame-src 'self'")
		return
	}
	h.Set("Content-Security-Policy", policy+scripts+" "+origin+"; frame-src "+origin)
	h.Set("Permissions-Policy", strings.ReplaceAll(permissions, "(self)", `(self "`+origin+`")`))
}
