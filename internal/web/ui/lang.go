package ui

import (
	"net/http"
	"time"
)

// Lang is a language of the pages.
type Lang string

// The languages. Malay is the one to begin with.
const (
	Malay   Lang = "ms"
	English Lang = "en"
	Chinese Lang = "zh"
	Tamil   Lang = "ta"
)

// Languages lists them in the order of the switch on each page.
var Languages = []Lang{Malay, English, Chinese, Tamil}

// langs gives what browsers and people call a language.
var langs = map[Lang]struct{ tag, name, short string }{
	Malay:   {"ms", "Bahasa Melayu", "BM"},
	English: {"en", "English", "EN"},
	Chinese: {"zh-Hans", "中文", "中文"},
	Tamil:   {"ta", "தமிழ்", "தமிழ்"},
}

// Tag is the BCP 47 tag for the lang attribute.
func (l Lang) Tag() string { return langs[l].tag }

// Name is the language's own name for itself.
func (l Lang) Name() string { return langs[l].name }

// Short is a name that fits on a small button.
func (l Lang) Short() string { return langs[l].short }

// ParseLang reads one of the four codes.
func ParseLang(s string) (Lang, bool) {
	_, ok := langs[Lang(s)]
	return Lang(s), ok
}

const langCookie = "jumpa_lang"

// LangOf is the language that this browser chose; Malay when it chose none.
func LangOf(r *http.Request) Lang {
	if c, err := r.Cookie(langCookie); err == nil {
		if l, ok := ParseLang(c.Value); ok {
			return l
		}
	}
	return Malay
}

// KeepLang remembers the choice in the browser for a year. secure says that
// pages are served over https.
func KeepLang(w http.ResponseWriter, l Lang, secure bool) {
	http.SetCookie(w, &http.Cookie{
		Name: langCookie, Value: string(l), Path: "/", MaxAge: int((365 * 24 * time.Hour).Seconds()),
		HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode,
	})
}
