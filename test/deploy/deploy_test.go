// Package deploy_test sees that what installations are made from is true: the
// files of deploy/ name settings, metrics, addresses and commands that there
// are, and docs/deployment.md explains them.
package deploy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template"

	"go.yaml.in/yaml/v3"

	"github.com/jumpa-hie/jumpa/internal/app"
)

const root = "../.."

func read(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// documents parses YAML, strictly.
func documents(t *testing.T, text string) (all []map[string]any) {
	t.Helper()
	d := yaml.NewDecoder(strings.NewReader(text))
	for {
		var doc map[string]any
		err := d.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if doc != nil {
			all = append(all, doc)
		}
	}
}

// at follows names into a document.
func at(v any, path ...string) any {
	for _, name := range path {
		switch in := v.(type) {
		case map[string]any:
			v = in[name]
		case []any:
			v = in[0].(map[string]any)[name]
		default:
			return nil
		}
	}
	return v
}

// settings gives the names of all settings.
func settings(t *testing.T) map[string]bool {
	t.Helper()
	known := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#(JUMPA_[A-Z0-9_]+)=`).FindAllStringSubmatch(app.Example(), -1) {
		known[m[1]] = true
	}
	if len(known) < 20 {
		t.Fatalf("only %d settings were found", len(known))
	}
	return known
}

func TestExampleOfSettings(t *testing.T) {
	if read(t, "deploy", "jumpa.conf") != app.Example() {
		t.Error("deploy/jumpa.conf is not what `jumpa config --example` prints")
	}
	file := filepath.Join(t.TempDir(), "jumpa.conf")
	uncommented := regexp.MustCompile(`(?m)^#(JUMPA_)`).ReplaceAllString(app.Example(), "$1")
	if err := os.WriteFile(file, []byte(uncommented), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := app.Read(file, func(string) (string, bool) { return "", false })
	if err != nil || cfg != app.Defaults() {
		t.Errorf("the defaults in it are others: %+v, %v", cfg, err)
	}
}

// check runs `jumpa check` with an environment and gives what it says.
func check(t *testing.T, environment map[string]string) string {
	t.Helper()
	cmd := exec.Command("go", "run", "./cmd/jumpa", "check")
	cmd.Dir = root
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "JUMPA_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	for name, value := range environment {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, _ := cmd.CombinedOutput() // the database and the brokers of the file are not here
	return string(out)
}

func TestCompose(t *testing.T) {
	doc := documents(t, read(t, "deploy", "compose.yaml"))[0]
	services := at(doc, "services").(map[string]any)
	guide := read(t, "docs", "deployment.md")
	for _, m := range regexp.MustCompile(`\$\{([A-Z_]+)`).FindAllStringSubmatch(read(t, "deploy", "compose.yaml"), -1) {
		if !strings.Contains(guide, "| `"+m[1]+"` |") {
			t.Errorf("%s is asked for and not explained", m[1])
		}
	}
	environment := map[string]string{}
	known := settings(t)
	for name, value := range composed(t, chosen).Services["jumpa-1"].Environment {
		if !known[name] {
			t.Errorf("%s is not a setting", name)
		}
		environment[name] = *value
	}
	environment["JUMPA_DATA"] = t.TempDir()
	if said := check(t, environment); !regexp.MustCompile(`(?m)^ok +configuration`).MatchString(said) {
		t.Errorf("the settings are refused:\n%s", said)
	}
	for name, s := range services {
		image := fmt.Sprint(at(s, "image"))
		if image != "jumpa" && (!strings.Contains(image, ":") || strings.HasSuffix(image, ":latest")) {
			t.Errorf("%s uses %s, of no certain version", name, image)
		}
		for other := range keys(at(s, "depends_on")) {
			if services[other] == nil {
				t.Errorf("%s depends on %s, which is not there", name, other)
			}
		}
	}
	proxy := read(t, "deploy", "Caddyfile")
	for _, node := range []string{"jumpa-1", "jumpa-2"} {
		if !strings.Contains(proxy, node+":8080") {
			t.Errorf("the proxy does not know %s", node)
		}
	}
}

func keys(v any) map[string]bool {
	found := map[string]bool{}
	switch in := v.(type) {
	case map[string]any:
		for k := range in {
			found[k] = true
		}
	case []any:
		for _, k := range in {
			found[fmt.Sprint(k)] = true
		}
	}
	return found
}

// render makes manifests of the chart as Helm does, with those of its functions
// that the chart uses.
func render(t *testing.T, change func(values map[string]any)) (manifests []map[string]any) {
	t.Helper()
	dir := filepath.Join(root, "deploy", "helm", "jumpa")
	values := documents(t, read(t, "deploy", "helm", "jumpa", "values.yaml"))[0]
	change(values)
	chart := documents(t, read(t, "deploy", "helm", "jumpa", "Chart.yaml"))[0]
	input := map[string]any{
		"Values": values, "Release": map[string]any{"Name": "hie"}, "Chart": map[string]any{"AppVersion": chart["appVersion"]},
	}
	functions := template.FuncMap{
		"quote": func(v any) string { return fmt.Sprintf("%q", fmt.Sprint(v)) },
		"default": func(def, v any) any {
			if v == nil || v == "" {
				return def
			}
			return v
		},
		"required": func(why string, v any) (any, error) {
			if v == nil || v == "" {
				return nil, errors.New(why)
			}
			return v, nil
		},
		"list": func(v ...any) []any { return v },
		"toYaml": func(v any) (string, error) {
			out, err := yaml.Marshal(v)
			return strings.TrimSpace(string(out)), err
		},
		"nindent": func(n int, s string) string {
			pad := "\n" + strings.Repeat(" ", n)
			return pad + strings.ReplaceAll(s, "\n", pad)
		},
	}
	files, err := filepath.Glob(filepath.Join(dir, "templates", "*.yaml"))
	if err != nil || len(files) < 4 {
		t.Fatalf("%d templates, %v", len(files), err)
	}
	for _, file := range files {
		tmpl, err := template.New(filepath.Base(file)).Funcs(functions).ParseFiles(file)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := tmpl.Execute(&out, input); err != nil {
			t.Fatal(err)
		}
		manifests = append(manifests, documents(t, out.String())...)
	}
	return manifests
}

func TestChart(t *testing.T) {
	known := settings(t)
	manifests := render(t, func(v map[string]any) {
		v["host"], v["certificates"], v["topics"] = "hie.example.my", "hie-certificates", "hie-topics"
		v["ingress"].(map[string]any)["annotations"] = map[string]any{"cert-manager.io/issuer": "ours"}
	})
	kinds := map[string]map[string]any{}
	for _, m := range manifests {
		kinds[fmt.Sprint(m["kind"])] = m
		if at(m, "metadata", "name") != "hie" || m["apiVersion"] == nil {
			t.Errorf("%v is not named after the release", m["kind"])
		}
	}
	for _, kind := range []string{"Deployment", "Service", "PodDisruptionBudget", "Ingress"} {
		if kinds[kind] == nil {
			t.Fatalf("there is no %s", kind)
		}
	}
	pod := at(kinds["Deployment"], "spec", "template", "spec")
	environment := map[string]string{}
	for _, e := range at(pod, "containers", "env").([]any) {
		name := fmt.Sprint(at(e, "name"))
		if !known[name] {
			t.Errorf("%s is not a setting", name)
		}
		environment[name] = fmt.Sprint(at(e, "value"))
	}
	if environment["JUMPA_PUBLIC_URL"] != "https://hie.example.my" {
		t.Errorf("the address is %q", environment["JUMPA_PUBLIC_URL"])
	}
	container := at(pod, "containers")
	mounted := false
	for _, m := range at(container, "volumeMounts").([]any) {
		mounted = mounted || at(m, "name") == "topics" && environment["JUMPA_TOPICS"] == fmt.Sprint(at(m, "mountPath"))+"/topics.yaml"
	}
	for _, v := range at(pod, "volumes").([]any) {
		if at(v, "name") == "topics" && at(v, "configMap", "name") != "hie-topics" {
			t.Errorf("the topics are those of %v", at(v, "configMap", "name"))
		}
	}
	if !mounted {
		t.Errorf("the topics are not mounted at %q", environment["JUMPA_TOPICS"])
	}
	if at(container, "securityContext", "readOnlyRootFilesystem") != true || at(pod, "securityContext", "runAsNonRoot") != true {
		t.Error("it may write where it need not, or be root")
	}
	if fmt.Sprint(at(kinds["Deployment"], "spec", "selector", "matchLabels")) != fmt.Sprint(at(kinds["Service"], "spec", "selector")) {
		t.Error("the Service does not find the nodes")
	}
	for _, probe := range []string{"startupProbe", "livenessProbe", "readinessProbe"} {
		if path := fmt.Sprint(at(container, probe, "httpGet", "path")); !slices.Contains([]string{"/healthz", "/readyz"}, path) {
			t.Errorf("%s asks %s", probe, path)
		}
	}
	for _, p := range at(kinds["Ingress"], "spec", "rules", "http", "paths").([]any) {
		if path := fmt.Sprint(at(p, "path")); strings.Contains(path, "metrics") || path == "/jitsi" || path == "/" {
			t.Errorf("the ingress lets everybody ask %s", path)
		}
	}
	for _, m := range render(t, func(v map[string]any) {
		v["host"] = "hie.example.my"
		v["ingress"].(map[string]any)["enabled"] = false
	}) {
		if m["kind"] == "Ingress" {
			t.Error("an ingress that was not asked for")
		}
	}
}

// TestMetricsOfRules sees that alerts and dashboards ask for metrics that the
// program has.
func TestMetricsOfRules(t *testing.T) {
	cfg := app.Defaults()
	cfg.Data, cfg.Listen, cfg.KafkaListen, cfg.UDPListen, cfg.Demo = t.TempDir(), "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", false
	a, err := app.Start(context.WithoutCancel(t.Context()), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Stop()
	var exposed string
	for range 2 { // the first request is counted in the second answer
		resp, err := http.Get(a.URL() + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		exposed = string(body)
	}
	has := map[string]bool{"up": true} // Prometheus's own
	for _, m := range regexp.MustCompile(`(?m)^([a-z_]+)[{ ]`).FindAllStringSubmatch(exposed, -1) {
		has[m[1]] = true
	}
	var expressions []string
	for _, g := range at(documents(t, read(t, "deploy", "prometheus", "alerts.yaml"))[0], "groups").([]any) {
		for _, r := range at(g, "rules").([]any) {
			expressions = append(expressions, fmt.Sprint(at(r, "expr")))
			if at(r, "annotations", "summary") == nil || at(r, "annotations", "what_to_do") == nil || at(r, "labels", "severity") == nil {
				t.Errorf("%v does not say what to do", at(r, "alert"))
			}
		}
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "deploy", "grafana", "jumpa.json")), &board); err != nil {
		t.Fatal(err)
	}
	for _, p := range board.Panels {
		for _, x := range p.Targets {
			expressions = append(expressions, x.Expr)
		}
	}
	metric := regexp.MustCompile(`\b((?:jumpa|process|go)_[a-z_]+|up)\b`)
	asked := 0
	for _, x := range expressions {
		for _, m := range metric.FindAllString(regexp.MustCompile(`"[^"]*"`).ReplaceAllString(x, ""), -1) {
			asked++
			if !has[m] {
				t.Errorf("%s asks for %s, which the program does not have", x, m)
			}
		}
		if strings.Count(x, "(") != strings.Count(x, ")") || strings.Count(x, "{") != strings.Count(x, "}") {
			t.Errorf("%s is not balanced", x)
		}
	}
	if asked < 15 {
		t.Errorf("only %d metrics are asked for: the test is blind", asked)
	}
}

func TestJitsiSettingsAreExplained(t *testing.T) {
	guide := read(t, "docs", "deployment.md")
	names := 0
	for line := range strings.Lines(read(t, "deploy", "jitsi.env")) {
		name, _, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		names++
		if !strings.Contains(guide, "`"+name) {
			t.Errorf("docs/deployment.md does not say why %s is set", name)
		}
	}
	if names < 15 {
		t.Errorf("only %d settings", names)
	}
}

func TestUnitAndImageStartTheProgram(t *testing.T) {
	unit := read(t, "deploy", "systemd", "jumpa.service")
	if !strings.Contains(unit, "jumpa serve --config") || !strings.Contains(unit, "DynamicUser=yes") {
		t.Error("the unit does not serve, or as root")
	}
	section := ""
	for line := range strings.Lines(unit) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			section = line
		case section == "" || !regexp.MustCompile(`^[A-Z][A-Za-z]+=`).MatchString(line):
			t.Errorf("%q is no line of a unit", line)
		}
	}
	image := read(t, "deploy", "Dockerfile")
	last := image[strings.LastIndex(image, "FROM "):]
	if !strings.Contains(last, "distroless/static") || !strings.Contains(last, "USER nonroot") || !strings.Contains(last, `CMD ["serve"]`) {
		t.Errorf("the image is not a small one that serves:\n%s", last)
	}
	goVersion := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "go.mod"))[1]
	if !strings.Contains(image, "golang:"+goVersion+"-") {
		t.Errorf("the image is not built with Go %s", goVersion)
	}
}
