package jitsi_test

import (
	"context"
	"encoding/xml"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/jumpa-hie/jumpa/internal/meeting"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsi"
)

const prosodyConfig = `
run_as_root = true
daemonize = false
pidfile = "%[1]s/prosody.pid"
data_path = "%[1]s"
plugin_paths = { "%[2]s" }
modules_enabled = { "http", "websocket", "saslauth", "judge_tokens" }
storage = "memory"
c2s_ports = {}
s2s_ports = {}
https_ports = {}
http_ports = { %[3]s }
http_interfaces = { "127.0.0.1" }
http_default_host = "meet.jitsi"
c2s_require_encryption = false
log = { { levels = { min = "warn" }, to = "console" } }
VirtualHost "meet.jitsi"
	authentication = "judged"
	token_issuer = "jumpa"
	token_audience = "jitsi"
	token_repository = "%[4]s"
Component "muc.meet.jitsi" "muc"
	modules_enabled = { "judged_rooms" }
	muc_room_locking = false
`

// startProsody starts a real Prosody with modules of ours, which take the keys
// of logins from a repository, and gives the address of its HTTP port.
func startProsody(t *testing.T, repository string) string {
	t.Helper()
	program, err := exec.LookPath("prosody")
	if err != nil {
		t.Skip("there is no Prosody; test/deps.sh installs it")
	}
	plugins, err := filepath.Abs("testdata/prosody")
	if err != nil {
		t.Fatal(err)
	}
	dir, address := t.TempDir(), deadAddress(t)
	_, port, _ := net.SplitHostPort(address)
	config := filepath.Join(dir, "prosody.cfg.lua")
	if err := os.WriteFile(config, fmt.Appendf(nil, prosodyConfig, dir, plugins, port, repository), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var log journal
	run := exec.CommandContext(ctx, program, "-F", "--config", config)
	run.Stdout, run.Stderr = &log, &log
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = run.Wait()
		if t.Failed() {
			t.Logf("Prosody says: %s", log.String())
		}
	})
	for end := time.Now().Add(time.Minute); ; {
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
			return address
		}
		if time.Now().After(end) {
			t.Fatalf("Prosody does not listen: %s", log.String())
		}
		time.Sleep(20 * time.Millisecond) // it is another process
	}
}

// node is an element of XMPP.
type node struct {
	XMLName xml.Name
	Attrs   []xml.Attr `xml:",any,attr"`
	Nodes   []node     `xml:",any"`
	Text    string     `xml:",chardata"`
}

func (n node) attr(name string) string {
	for _, a := range n.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// find gives the elements of a name, at any depth.
func (n node) find(name string) (all []node) {
	for _, child := range n.Nodes {
		if child.XMLName.Local == name {
			all = append(all, child)
		}
		all = append(all, child.find(name)...)
	}
	return all
}

// refusal gives the condition and the text of an error or a failure.
func (n node) refusal() string {
	var words []string
	for _, kind := range append(n.find("error"), n) {
		for _, child := range kind.Nodes {
			switch {
			case !strings.HasPrefix(child.XMLName.Space, "urn:ietf:params:xml:ns:xmpp-"):
			case child.XMLName.Local == "text":
				words = append(words, child.Text)
			default:
				words = append(words, child.XMLName.Local)
			}
		}
	}
	return strings.Join(words, ": ")
}

// browser is somebody's web app, as far as XMPP goes: over a websocket, as
// RFC 7395 has it.
type browser struct {
	t  *testing.T
	ws *websocket.Conn
}

func (b *browser) say(format string, args ...any) {
	b.t.Helper()
	if err := b.ws.Write(b.t.Context(), websocket.MessageText, fmt.Appendf(nil, format, args...)); err != nil {
		b.t.Fatal(err)
	}
}

// hear waits for an element that is wanted.
func (b *browser) hear(wanted func(node) bool) node {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	for {
		_, text, err := b.ws.Read(ctx)
		if err != nil {
			b.t.Fatal(err)
		}
		var n node
		if err := xml.Unmarshal(text, &n); err != nil {
			b.t.Fatalf("%v: %s", err, text)
		}
		if wanted(n) {
			return n
		}
	}
}

func named(names ...string) func(node) bool {
	return func(n node) bool {
		for _, name := range names {
			if n.XMLName.Local == name {
				return true
			}
		}
		return false
	}
}

const opening = `<open xmlns="urn:ietf:params:xml:ns:xmpp-framing" to="meet.jitsi" version="1.0"/>`

// signIn opens a session with a token; refused says why there is none.
func signIn(t *testing.T, prosody, token string) (b *browser, refused string) {
	t.Helper()
	ws, resp, err := websocket.Dial(t.Context(), "ws://"+prosody+"/xmpp-websocket?"+url.Values{"room": {vc}, "token": {token}}.Encode(), &websocket.DialOptions{Subprotocols: []string{"xmpp"}})
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(resp.Status)
	}
	t.Cleanup(func() { _ = ws.CloseNow() })
	b = &browser{t, ws}
	b.say(opening)
	b.hear(named("features"))
	b.say(`<auth xmlns="urn:ietf:params:xml:ns:xmpp-sasl" mechanism="ANONYMOUS"/>`)
	if answer := b.hear(named("success", "failure")); answer.XMLName.Local == "failure" {
		return nil, answer.refusal()
	}
	b.say(opening)
	b.hear(named("features"))
	b.say(`<iq xmlns="jabber:client" type="set" id="bind"><bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"/></iq>`)
	b.hear(named("iq"))
	return b, ""
}

// join enters a room. It gives the affiliation and the role that the room says
// somebody has, or why not.
func (b *browser) join(room, nick string) (rank, refused string) {
	b.t.Helper()
	me := room + "@muc.meet.jitsi/" + nick
	b.say(`<presence xmlns="jabber:client" to=%q><x xmlns="http://jabber.org/protocol/muc"/></presence>`, me)
	answer := b.hear(func(n node) bool { return n.XMLName.Local == "presence" && n.attr("from") == me })
	if answer.attr("type") == "error" {
		return "", answer.refusal()
	}
	for _, item := range answer.find("item") {
		rank = item.attr("affiliation") + " " + item.attr("role")
	}
	return rank, ""
}

// kick puts somebody out; refused says why not.
func (b *browser) kick(room, nick string) (refused string) {
	b.t.Helper()
	b.say(`<iq xmlns="jabber:client" type="set" id="kick" to="%s@muc.meet.jitsi"><query xmlns="http://jabber.org/protocol/muc#admin"><item nick=%q role="none"/></query></iq>`, room, nick)
	return b.hear(func(n node) bool { return n.XMLName.Local == "iq" && n.attr("id") == "kick" }).refusal()
}

// A real Prosody lets people in with our tokens alone: over XMPP, in the way of
// Jitsi's web app, into the room that the token names and with its rights.
func TestEntryIntoARealProsody(t *testing.T) {
	keys := &vault{}
	same := func(o *jitsi.Options) { o.Vault = keys }
	w := newWorld(t, same)
	token := func(w *world, room string, p meeting.Person) string {
		t.Helper()
		c, err := w.driver.Credentials(t.Context(), room, p)
		if err != nil {
			t.Fatal(err)
		}
		return c.JWT
	}
	good := token(w, vc, patient)
	w.pass(-10 * time.Minute)
	expired := token(w, vc, patient)
	w.pass(10 * time.Minute)
	elsewhere := newWorld(t, same, func(o *jitsi.Options) { o.XMPPDomain = "other.jitsi" })
	forOthers := newWorld(t, same, func(o *jitsi.Options) { o.Audience = "other" })
	byOthers := newWorld(t, same, func(o *jitsi.Options) { o.AppID = "other" })
	strange := newWorld(t, func(o *jitsi.Options) { o.Vault = &vault{} }) // with keys that Prosody cannot get

	prosody := startProsody(t, w.url+"/jitsi/asap/login")
	const another, nobodys = vc + "-other", vc + "-empty"
	host, _ := signIn(t, prosody, token(w, another, doctor))
	if rank, refused := host.join(another, "host"); rank != "owner moderator" {
		t.Fatalf("the practitioner is %q in a room of another consultation: %s", rank, refused)
	}
	for _, c := range []struct{ name, token, room, signIn, join string }{
		{"a patient", good, vc, "", ""},
		{"the same again, as after a reload", good, vc, "", ""},
		{"the room of others", good, another, "", "not-allowed: Room and token mismatched"},
		{"a room that is not there yet", good, nobodys, "", "not-allowed: Room and token mismatched"},
		{"of another deployment", token(elsewhere, vc, patient), vc, "", "not-allowed: Room and token mismatched"},
		{"for another audience", token(forOthers, vc, patient), vc, "not-authorized: audience", ""},
		{"by another issuer", token(byOthers, vc, patient), vc, "not-authorized: issuer", ""},
		{"with another key", token(strange, vc, patient), vc, "not-authorized: key", ""},
		{"too late", expired, vc, "not-authorized: late", ""},
		{"with another signature", good[:strings.LastIndex(good, ".")] + expired[strings.LastIndex(expired, "."):], vc, "not-authorized: signature", ""},
		{"a patient who would be a moderator", promoted(t, good), vc, "not-authorized: signature", ""},
		{"no token", "", vc, "not-authorized: shape", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, refused := signIn(t, prosody, c.token)
			if refused != c.signIn {
				t.Fatalf("the sign-in is refused with %q, want %q", refused, c.signIn)
			}
			if b == nil {
				return
			}
			rank, refused := b.join(c.room, "somebody")
			if refused != c.join || (rank == "member participant") != (c.join == "") {
				t.Errorf("in the room as %q; refused with %q, want %q", rank, refused, c.join)
			}
		})
	}

	t.Run("a practitioner is owner and moderator, and nobody else", func(t *testing.T) {
		guest, _ := signIn(t, prosody, good)
		if rank, refused := guest.join(vc, "guest"); rank != "member participant" {
			t.Errorf("who opens the room is %q %s", rank, refused)
		}
		host, _ := signIn(t, prosody, token(w, vc, doctor))
		if rank, refused := host.join(vc, "host"); rank != "owner moderator" {
			t.Errorf("the practitioner is %q %s", rank, refused)
		}
		if refused := guest.kick(vc, "host"); !strings.HasPrefix(refused, "not-allowed") && !strings.HasPrefix(refused, "forbidden") {
			t.Errorf("the patient puts the practitioner out: %q", refused)
		}
		if refused := host.kick(vc, "guest"); refused != "" {
			t.Errorf("the practitioner cannot put the patient out: %s", refused)
		}
		guest.hear(func(n node) bool {
			return n.attr("type") == "unavailable" && n.attr("from") == vc+"@muc.meet.jitsi/guest"
		})
	})
}
