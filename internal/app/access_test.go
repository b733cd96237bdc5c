package app

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/jumpa-hie/jumpa/internal/auth"
)

// visitor is somebody outside who has the credentials of a demo.
type visitor struct {
	*testing.T
	cast   Credentials
	token  string // of the source system
	cookie string // of the patient's browser
}

// request sends a request to the exchange, by the loopback address, and gives
// the status and the body.
func (v *visitor) request(a *App, method, path string, header map[string]string, body string) (int, string) {
	v.Helper()
	_, port, _ := net.SplitHostPort(a.listener.Addr().String())
	req, err := http.NewRequestWithContext(v.Context(), method, "http://127.0.0.1:"+port+path, strings.NewReader(body))
	if err != nil {
		v.Fatal(err)
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		v.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		v.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func (v *visitor) signIn(a *App) error {
	p := v.cast.Patients[0]
	cookie, err := a.access.browsers.SignIn(v.Context(), auth.Patient, p.IdentityNumber, p.SignInCode, false)
	if err == nil {
		v.cookie = cookie
	}
	return err
}

func (v *visitor) signInSystem(a *App) int {
	c := v.cast.Clients[0]
	req, _ := http.NewRequest(http.MethodGet, "/", nil)
	req.SetBasicAuth(url.QueryEscape(c.ClientID), url.QueryEscape(c.ClientSecret))
	status, body := v.request(a, http.MethodPost, "/auth/token", map[string]string{
		"Authorization": req.Header.Get("Authorization"), "Content-Type": "application/x-www-form-urlencoded",
	}, "grant_type=client_credentials")
	var answer struct {
		Token string `json:"access_token"`
	}
	if status == http.StatusOK {
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			v.Error(err)
		}
		v.token = answer.Token
	}
	return status
}

// doors tries every way in and gives what each answers.
func (v *visitor) doors(a *App) map[string]int {
	v.Helper()
	c := v.cast.Clients[0]
	login, _ := json.Marshal(map[string]string{"email": c.Email, "password": c.Password})
	answers := map[string]int{}
	answers["FHIR with the token of before"], _ = v.request(a, http.MethodGet, "/baseR4/Patient/"+v.cast.Patients[0].ID, map[string]string{"Authorization": "Bearer " + v.token}, "")
	answers["notification API"], _ = v.request(a, http.MethodPost, "/api/v2/user/session", map[string]string{"Content-Type": "application/json"}, string(login))
	answers["browser of before"], _ = v.request(a, http.MethodGet, "/rekodsaya/appointments", map[string]string{"Cookie": "rekodsaya_session=" + v.cookie}, "")
	answers["development inbox"], _ = v.request(a, http.MethodGet, "/rekodsaya/dev/inbox", nil, "")
	answers["token endpoint"] = v.signInSystem(a)
	answers["standing code"] = http.StatusOK
	if err := v.signIn(a); err != nil {
		answers["standing code"] = http.StatusUnauthorized
	}
	return answers
}

// TestDemoCredentialsWorkOnLoopbackOnly: an exchange that others can reach lets
// nobody in with what an earlier demo has left in the database.
func TestDemoCredentialsWorkOnLoopbackOnly(t *testing.T) {
	cfg := laptop(t, t.TempDir())
	demo := running(t, cfg)
	cast, _ := demo.Credentials()
	v := &visitor{T: t, cast: cast}
	v.signInSystem(demo)
	if err := v.signIn(demo); err != nil {
		t.Fatal(err)
	}
	for door, status := range v.doors(demo) {
		if status != http.StatusOK {
			t.Errorf("on loopback: %s answers %d", door, status)
		}
	}
	demo.Stop()

	courier := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a code was sent: %s", r.URL)
	}))
	defer courier.Close()
	open := cfg
	open.Demo, open.Listen, open.CodeCourierURL, open.PublicURL = false, "0.0.0.0:0", courier.URL, "https://hie.example.my"
	reachable := running(t, open)
	want := map[string]int{
		"FHIR with the token of before": http.StatusUnauthorized,
		"notification API":              http.StatusUnauthorized,
		"browser of before":             http.StatusSeeOther, // to the sign-in page
		"development inbox":             http.StatusNotFound,
		"token endpoint":                http.StatusUnauthorized,
		"standing code":                 http.StatusUnauthorized,
	}
	for door, status := range v.doors(reachable) {
		if status != want[door] {
			t.Errorf("on every address: %s answers %d, want %d", door, status, want[door])
		}
	}
	if err := reachable.access.browsers.SendCode(t.Context(), auth.Patient, cast.Patients[0].IdentityNumber); err != nil {
		t.Error(err) // the answer is the same for everybody
	}
	reachable.Stop()

	if status := v.doors(running(t, cfg))["browser of before"]; status != http.StatusOK {
		t.Errorf("back on loopback, the browser of before answers %d", status)
	}
}

// TestDemoIsRefusedOnOtherAddresses: it does not even start.
func TestDemoIsRefusedOnOtherAddresses(t *testing.T) {
	cfg := laptop(t, t.TempDir())
	cfg.Listen, cfg.CodeCourierURL = "0.0.0.0:0", "https://sms.example.my"
	a, err := Start(t.Context(), cfg, silent())
	if err == nil {
		a.Stop()
	}
	if err == nil || !strings.Contains(err.Error(), "--no-demo") {
		t.Errorf("the error is %v", err)
	}
}

// TestCodesGoToTheCourier: without a development inbox, codes are handed to
// the operator's gateway, and the error of one that fails holds no number.
func TestCodesGoToTheCourier(t *testing.T) {
	var got bytes.Buffer
	status := http.StatusNoContent
	courier := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got.Reset()
		_, _ = io.Copy(&got, r.Body)
		w.WriteHeader(status)
	}))
	defer courier.Close()
	h := &webhook{url: courier.URL, client: courier.Client()}
	if err := h.SendCode(t.Context(), "850712055018", "123456"); err != nil {
		t.Error(err)
	}
	if want := `{"code":"123456","identityNumber":"850712055018"}`; got.String() != want {
		t.Errorf("the courier got %s, want %s", got.String(), want)
	}
	for _, status = range []int{http.StatusFound, http.StatusBadRequest, http.StatusBadGateway} {
		if err := h.SendCode(t.Context(), "850712055018", "123456"); err == nil || strings.Contains(err.Error(), "850712") || strings.Contains(err.Error(), "123456") {
			t.Errorf("status %d gives the error %v", status, err)
		}
	}
	courier.Close()
	if err := h.SendCode(t.Context(), "850712055018", "123456"); err == nil || strings.Contains(err.Error(), "850712") {
		t.Errorf("without a courier the error is %v", err)
	}
}
