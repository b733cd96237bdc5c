//go:build linux

package deploy_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/jackc/pgx/v5"

	"github.com/jumpa-hie/jumpa/fhir"
	"github.com/jumpa-hie/jumpa/internal/meeting/jitsitest"
	"github.com/jumpa-hie/jumpa/internal/play"
	"github.com/jumpa-hie/jumpa/internal/store/postgres/postgrestest"
	"github.com/jumpa-hie/jumpa/mycore"
	"github.com/jumpa-hie/jumpa/source"
)

func TestMain(m *testing.M) { postgrestest.Run(m) }

// site is the compose file brought up without containers: each service is a
// process with the environment that the file gives it, and the names of
// services and ports are those of this machine.
type site struct {
	t       *testing.T
	dir     string
	project *types.Project
	places  []string // pairs of what the file says and where it is here
	binary  string
	ca      string // file with the authorities of proxy and courier
}

// free finds a port outside the range from which systems take the ports of
// outgoing connections.
func free(t *testing.T) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 15000+rand.IntN(15000))
		if l, err := net.Listen("tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	t.Fatal("no free port was found")
	return ""
}

// here says a text of the file with the places of this machine.
func (s *site) here(text string) string { return strings.NewReplacer(s.places...).Replace(text) }

func (s *site) place(said, is string) { s.places = append(s.places, said, is) }

// environment gives that of a service.
func (s *site) environment(service string) (list []string) {
	for name, value := range s.project.Services[service].Environment {
		list = append(list, name+"="+s.here(*value))
	}
	return list
}

// start runs a program until the test ends.
func (s *site) start(name string, cmd *exec.Cmd) {
	s.t.Helper()
	log, err := os.Create(filepath.Join(s.dir, name+".log"))
	if err != nil {
		s.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
		if text, _ := os.ReadFile(log.Name()); s.t.Failed() {
			s.t.Logf("%s wrote:\n%s", name, text[max(0, len(text)-3000):])
		}
	})
}

// await tries until it is so, for as long as a slow machine may take.
func (s *site) await(what string, ready func(context.Context) error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			s.t.Fatalf("%s: %v", what, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// kafka starts Apache Kafka with the settings that its image makes of the
// environment: KAFKA_NODE_ID is node.id.
func (s *site) kafka() {
	s.t.Helper()
	client, controller := free(s.t), free(s.t)
	data := filepath.Join(s.dir, "events")
	s.place("PLAINTEXT://:9092", "PLAINTEXT://"+client)
	s.place("CONTROLLER://:9093", "CONTROLLER://"+controller)
	s.place("kafka:9092", client)
	s.place("kafka:9093", controller)
	s.place("/var/lib/kafka/data", data)
	var text strings.Builder
	for _, variable := range s.environment("kafka") {
		name, value, _ := strings.Cut(variable, "=")
		name = strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, "KAFKA_")), "_", ".")
		fmt.Fprintf(&text, "%s=%s\n", name, value)
	}
	file := filepath.Join(s.dir, "server.properties")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		s.t.Fatal(err)
	}
	java := func(class string, args ...string) *exec.Cmd {
		flags := []string{"-cp", filepath.Join(root, "test", "kafka", "target", "lib", "*"), "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", class}
		return exec.Command("java", append(flags, args...)...)
	}
	if out, err := java("kafka.tools.StorageTool", "format", "-t", "anVtcGEtanVtcGEtanVtcA", "-c", file).CombinedOutput(); err != nil {
		s.t.Fatalf("%v (run `make deps`)\n%s\n%s", err, out, text.String())
	}
	s.start("kafka", java("kafka.Kafka", file))
	s.await("Kafka does not listen", func(ctx context.Context) error { // nodes start once it is healthy
		c, err := new(net.Dialer).DialContext(ctx, "tcp", client)
		if err != nil {
			return err
		}
		return c.Close()
	})
}

// database starts PostgreSQL with the user and the database of the file.
func (s *site) database() {
	s.t.Helper()
	at := free(s.t)
	_, port, _ := net.SplitHostPort(at)
	s.place("@postgres:5432/", "@"+at+"/")
	dir, err := os.MkdirTemp("/tmp", "jumpa-pg") // a path that the server's user can reach
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	server, err := postgrestest.Create(dir, "listen_addresses=127.0.0.1", "port="+port, "fsync=off")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = server.Stop("immediate") })
	e := s.project.Services["postgres"].Environment
	query(s.t, server.URL()+"&port="+port, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", *e["POSTGRES_USER"], *e["POSTGRES_PASSWORD"]))
	query(s.t, server.URL()+"&port="+port, fmt.Sprintf("CREATE DATABASE %s OWNER %s", *e["POSTGRES_DB"], *e["POSTGRES_USER"]))
}

// proxy starts Caddy with the Caddyfile. Its certificates are its own, because
// no authority would give it any.
func (s *site) proxy() (https, private string) {
	s.t.Helper()
	https, private = free(s.t), free(s.t)
	_, tlsPort, _ := net.SplitHostPort(https)
	_, httpPort, _ := net.SplitHostPort(free(s.t))
	_, privatePort, _ := net.SplitHostPort(private)
	s.place("\n:8081 ", "\n:"+privatePort+" ")
	caddyfile := filepath.Join(s.dir, "Caddyfile")
	global := fmt.Sprintf("{\n\tadmin off\n\tlocal_certs\n\tskip_install_trust\n\thttp_port %s\n\thttps_port %s\n\tstorage file_system %s\n}\n", httpPort, tlsPort, filepath.Join(s.dir, "certificates"))
	if err := os.WriteFile(caddyfile, []byte(global+s.here(read(s.t, "deploy", "Caddyfile"))), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if _, err := exec.LookPath("caddy"); err != nil {
		s.t.Fatal("caddy is missing: run `make deps`")
	}
	cmd := exec.Command("caddy", "run", "--adapter", "caddyfile", "--config", caddyfile)
	cmd.Env = append(s.environment("proxy"), "HOME="+s.dir, "PATH="+os.Getenv("PATH"))
	s.start("proxy", cmd)
	s.await("the proxy has no certificate", func(context.Context) error {
		root, err := os.ReadFile(filepath.Join(s.dir, "certificates", "pki", "authorities", "local", "root.crt"))
		if err != nil {
			return err
		}
		return s.trust(root)
	})
	return https, private
}

// trust has everybody here accept an authority.
func (s *site) trust(certificate []byte) error {
	had, err := os.ReadFile(s.ca)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.WriteFile(s.ca, append(had, certificate...), 0o600)
}

// node gives the program with the environment of a node, as `docker compose
// run` does.
func (s *site) node(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(s.binary, args...)
	data := filepath.Join(s.dir, name)
	if err := os.MkdirAll(data, 0o700); err != nil {
		s.t.Fatal(err)
	}
	for _, v := range s.environment(name) {
		switch n, _, _ := strings.Cut(v, "="); n {
		case "JUMPA_DATA", "JUMPA_LISTEN", "JUMPA_TRUSTED_PROXIES": // of a container
		default:
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "JUMPA_DATA="+data, "JUMPA_LISTEN="+s.here(name+":8080"), "JUMPA_TRUSTED_PROXIES=127.0.0.1", "SSL_CERT_FILE="+s.ca)
	return cmd
}

// run runs a command of the guide and gives what it prints.
func (s *site) run(args ...string) string {
	s.t.Helper()
	out, err := s.node("jumpa-1", args...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("jumpa %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// TestTheComposeFileWorks walks through docs/deployment.md: everything comes
// up, a source system is let in, and a patient and a practitioner get as far
// as their call, all through the proxy.
func TestTheComposeFileWorks(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	const host = "hie.example.my"
	dir := t.TempDir()
	s := &site{t: t, dir: dir, binary: filepath.Join(dir, "jumpa"), ca: filepath.Join(dir, "ca.pem")}

	codes := make(chan string, 1)
	courier := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var sent struct{ IdentityNumber, Code string }
		if err := json.NewDecoder(r.Body).Decode(&sent); err != nil {
			t.Error(err)
		}
		codes <- sent.Code
	}))
	t.Cleanup(courier.Close)
	if err := s.trust(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: courier.Certificate().Raw})); err != nil {
		t.Fatal(err)
	}
	variables := maps.Clone(chosen)
	variables["JUMPA_CODE_COURIER_URL"] = courier.URL
	s.project = composed(t, variables)
	prosody := jitsitest.New(jitsitest.Options{Issuer: "jumpa", Audience: "jitsi", XMPPDomain: "meet.jitsi", Bearer: chosen["JITSI_BEARER"]})
	t.Cleanup(prosody.Close)
	s.place("http://xmpp.meet.jitsi:5280", prosody.URL())
	for _, name := range []string{"jumpa-1", "jumpa-2"} {
		s.place(name+":8080", free(t))
	}
	// As the Dockerfile does.
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", s.binary, "./cmd/jumpa")
	if !strings.Contains(read(t, "deploy", "Dockerfile"), `RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /jumpa ./cmd/jumpa`) {
		t.Error("the Dockerfile builds the program in another way than this test")
	}
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	s.database()
	s.kafka()
	for _, name := range []string{"jumpa-1", "jumpa-2"} {
		s.start(name, s.node(name, "serve")) // the command of the image
	}
	https, private := s.proxy()
	for _, name := range []string{"jumpa-1", "jumpa-2"} {
		s.await(name+" is not ready", func(context.Context) error { // as the health check does
			out, err := s.node(name, "ready").CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		})
	}

	// People and systems elsewhere: the name leads to the proxy.
	authorities := x509.NewCertPool()
	trusted, err := os.ReadFile(s.ca)
	if err != nil || !authorities.AppendCertsFromPEM(trusted) {
		t.Fatalf("no authorities: %v", err)
	}
	outside := http.DefaultTransport.(*http.Transport) // which browsers of package play use
	before := outside.Clone()
	outside.TLSClientConfig = &tls.Config{RootCAs: authorities}
	outside.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == host+":443" || address == "meet.example.my:443" {
			address = https
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	t.Cleanup(func() {
		outside.CloseIdleConnections()
		outside.TLSClientConfig, outside.DialContext = before.TLSClientConfig, before.DialContext
	})
	url := "https://" + host
	s.await("the proxy passes nothing on", func(ctx context.Context) error {
		status, err := ask(ctx, url+"/readyz")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("it answers %d", status)
		}
		return err
	})
	for address, want := range map[string]int{
		url + "/rekodsaya/sign-in": 200, url + "/baseR4/metadata": 200, url + "/metrics": 404, url + "/metrics/": 404, url + "//metrics": 404, url + "/%6Detrics": 404,
		url + "/jitsi/asap/login/x.pem": 404, url + "//jitsi/asap/login/x.pem": 404, url + "/jitsi//asap/login/x.pem": 404, url + "/jitsi/events/room/created": 404,
		"https://meet.example.my/conference-request/v1": 404, "https://meet.example.my/tenant/conference-request/v1": 404, "https://meet.example.my/room": 502, // no Jitsi is here
		"http://" + private + "/rekodsaya/": 404, "http://" + private + "/metrics": 404, "http://" + private + "/jitsi/reservation/conference/x": 401,
	} {
		if got, err := ask(t.Context(), address); err != nil || got != want {
			t.Errorf("%s answers %d, want %d, %v", strings.TrimPrefix(address, "http://"+private), got, want, err)
		}
	}
	s.await("jumpa check finds faults", func(context.Context) error { // until Kafka has come up
		out, _ := s.node("jumpa-1", "check").CombinedOutput()
		if strings.Contains(string(out), "FAILED") || strings.Count(string(out), "ok ") < 5 {
			return fmt.Errorf("it says\n%s", out)
		}
		return nil
	})

	secret := regexp.MustCompile(`client secret +(\S+)`).FindStringSubmatch(s.run("register", "HTJ", "--organization", "11-05060009"))
	if secret == nil {
		t.Fatal("no secret was printed")
	}
	sys, err := source.New(source.Config{
		Server: url, ClientID: "HTJ", ClientSecret: secret[1], Kafka: []string{s.here("kafka:9092")},
		HTTPClient: &http.Client{Transport: outside, Timeout: 30 * time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.consult(sys, url, codes, prosody, private)
}

// query runs a statement on a database.
func query(t *testing.T, address, text string) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.WithoutCancel(t.Context())) }()
	if _, err := c.Exec(t.Context(), text); err != nil {
		t.Fatal(err)
	}
}

// ask gives the status of a page.
func ask(ctx context.Context, address string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// consult plays a consultation up to the call: Jitsi's media are not here.
func (s *site) consult(sys *source.Client, url string, codes <-chan string, prosody *jitsitest.Server, private string) {
	t := s.t
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	const organization, identity = "11-05060009", "850712055018"
	put := func(text string) {
		t.Helper()
		doc, err := fhir.Parse([]byte(text))
		must("a record", err)
		_, err = sys.Put(ctx, doc)
		must("the exchange does not take a record", err)
	}
	put(`{"resourceType":"Organization","id":"` + organization + `","name":"Hospital Tuanku Jaafar","active":true}`)
	put(`{"resourceType":"Patient","id":"aminah","identifier":[{"system":"` + mycore.SystemMyKad + `","value":"` + identity + `"}],"name":[{"text":"Aminah"}]}`)
	put(`{"resourceType":"HealthcareService","id":"clinic","providedBy":{"reference":"Organization/` + organization + `"},"name":"Clinic","active":true}`)
	start := time.Now().Truncate(time.Minute)
	booked, err := source.NewAppointment(source.AppointmentParams{
		ID: "visit", ServiceType: mycore.ServiceIndividual, Specialty: "02", HealthcareService: "clinic", HealthcareServiceName: "Clinic",
		Patient: "aminah", PatientName: "Aminah", Start: start, End: start.Add(45 * time.Minute), ScheduleType: "internal",
	})
	must("the Appointment", err)
	_, err = sys.Put(ctx, booked)
	must("the Appointment is not taken", err)

	arrived := make(chan source.Event, 16)
	listening := make(chan error, 1)
	go func() {
		listening <- sys.Consume(ctx, source.ConsumerConfig{Group: "htj", Topics: []string{source.EncounterTopic(organization)}, FromStart: true},
			func(_ context.Context, e source.Event) error { arrived <- e; return nil })
	}()
	patient := play.NewPatient(url)
	must("the patient cannot sign in", patient.Activate(ctx, identity, func() (string, error) {
		select {
		case code := <-codes:
			return code, nil
		case <-ctx.Done():
			return "", errors.New("no code was sent")
		}
	}))
	must("the patient cannot check in", patient.CheckIn(ctx, "visit"))
	var token string
	select {
	case e := <-arrived:
		token = mycore.Token(e.Focus)
	case err := <-listening:
		t.Fatalf("the topics cannot be read: %v", err)
	case <-ctx.Done():
		t.Fatal("Kafka has no event")
	}
	prosody.Configure(func(o *jitsitest.Options) { // as jitsi.env says
		at := "http://" + private + "/jitsi"
		o.LoginKeys, o.SystemKeys, o.Reservations, o.Events = at+"/asap/login", at+"/asap/system", at+"/reservation", at
	})
	doctor, err := sys.Join(ctx, token, source.JoinRequest{Name: "Dr Farid", ID: "farid"})
	must("the practitioner gets no credentials", err)
	if !strings.HasPrefix(doctor.JoinURL, "https://meet.example.my/") {
		t.Errorf("the practitioner is led to %.30s", doctor.JoinURL)
	}
	_, err = sys.Activate(ctx, token)
	must("the session cannot be started", err)
	must("the patient's page does not move", patient.Await(ctx, "visit", "ready"))
	inside, err := prosody.Join(ctx, doctor.JWT, doctor.Room)
	must("Jitsi does not let the practitioner in", err)
	if !prosody.Open(doctor.Room) || inside == nil {
		t.Error("the room is not open")
	}
	_, err = sys.End(ctx, token)
	must("the session cannot be ended", err)
	s.await("the call goes on", func(context.Context) error {
		if prosody.Open(doctor.Room) {
			return errors.New("the room is open")
		}
		return nil
	})
}
