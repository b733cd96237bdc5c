package app

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Read gives the defaults with what the file says instead ("" for no file), and
// what the variables of the environment say instead of that. look is
// os.LookupEnv.
func Read(file string, look func(string) (string, bool)) (Config, error) {
	cfg := Defaults()
	written, err := readFile(file)
	if err != nil {
		return cfg, err
	}
	v := reflect.ValueOf(&cfg).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("env")
		if name == "-" {
			continue
		}
		text, ok := look(name)
		if !ok || text == "" {
			text = written[name]
		}
		if text == "" {
			continue
		}
		switch field := v.Field(i).Addr().Interface().(type) {
		case *string:
			*field = text
		case *time.Duration:
			d, err := time.ParseDuration(text)
			if err != nil {
				return cfg, usage("%s: %q is not a duration such as 30m", name, text)
			}
			*field = d
		case *float64:
			n, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return cfg, usage("%s: %q is not a number such as 0.1", name, text)
			}
			*field = n
		default:
			return cfg, fmt.Errorf("app: a setting of type %T cannot be read", field) // a programming error
		}
	}
	return cfg, nil
}

// readFile gives the settings of a file: one NAME=value a line or, by the end
// of its name, a mapping in YAML or JSON. Names that are no setting are
// refused: they are spelling mistakes.
func readFile(file string) (map[string]string, error) {
	if file == "" {
		return nil, nil
	}
	f := confFile{"--config", file}
	switch strings.ToLower(filepath.Ext(file)) {
	case ".yaml", ".yml", ".json":
		return f.mapping()
	}
	return f.lines()
}

// lines reads one NAME=value a line.
func (f confFile) lines() (map[string]string, error) {
	raw, err := f.read()
	if err != nil {
		return nil, err
	}
	settings, known := make(map[string]string), names()
	number := 0
	for line := range strings.Lines(string(raw)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		_, again := settings[name]
		switch {
		case !ok:
			return nil, f.mistake(number, " is not NAME=value")
		case !known[name]:
			return nil, f.unknown(number, name)
		case again:
			return nil, f.mistake(number, ": %s was set above", name)
		}
		settings[name] = value
	}
	return settings, nil
}

// mapping reads one mapping of YAML or JSON from names to texts, numbers and
// truths, each taken as it is written.
func (f confFile) mapping() (map[string]string, error) {
	root, err := f.yaml()
	if err != nil || root == nil {
		return nil, err
	}
	if root.Kind != yaml.MappingNode {
		return nil, f.mistake(root.Line, " is not NAME: value")
	}
	settings, known := make(map[string]string), names()
	return settings, f.members(root, func(name, value *yaml.Node) error {
		switch {
		case !known[name.Value]:
			return f.unknown(name.Line, name.Value)
		case value.Kind != yaml.ScalarNode:
			return f.mistake(value.Line, " has a list or a mapping as %s, which is one value", name.Value)
		case strings.ContainsAny(value.Value, "\r\n"):
			return f.mistake(value.Line, " has several lines as %s, which is one", name.Value)
		case value.Tag != "!!null":
			settings[name.Value] = value.Value
		}
		return nil
	})
}

func (f confFile) unknown(line int, name string) error {
	return f.mistake(line, ": %s is not a setting; `jumpa config` lists them", shown(name))
}

// names gives the variables of all settings.
func names() map[string]bool {
	known := make(map[string]bool)
	t := reflect.TypeFor[Config]()
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("env"); name != "-" {
			known[name] = true
		}
	}
	return known
}

// yamlExample is a file of settings in YAML.
const yamlExample = "```yaml\n" + `JUMPA_DATABASE_URL: postgres://jumpa@db.example.my/jumpa
JUMPA_KAFKA_BROKERS: kafka-1:9092,kafka-2:9092
JUMPA_CORS_ORIGINS: "*"
JUMPA_GRACE: 45m
JUMPA_OTLP_RATIO: 0.5
` + "```\n"

const preface = `# Configuration

` + "`jumpa up`, `jumpa serve` and the other commands that have `--config`" + ` take each setting from the first of these places that has it:

1. the flag,
2. the environment variable,
3. the file that ` + "`--config FILE`" + ` names,
4. the default.

The file has one ` + "`NAME=value`" + ` a line, with the names of the variables; empty lines and lines that begin with ` + "`#`" + ` are passed over, and a name that is no setting is an error. An empty value is none.

A file whose name ends in ` + "`.yaml`, `.yml` or `.json`" + ` holds the same as one mapping. Values are taken as they are written; texts with signs such as ` + "`*`, `#` or `: `" + ` need quotes:

` + yamlExample + "\n"

const afterword = `
Durations are written as ` + "`30m` or `1h30m`" + `.

A demo (` + "`jumpa up`" + ` without ` + "`--no-demo`" + `) works on loopback only: where other machines can reach the HTTP server, demo people cannot sign in, even when an earlier demo left them in the database.

` + "`--kafka-continue`" + ` is for the one start after the embedded broker has lost messages, which it says: it goes on behind them, and consumers miss what was lost.

[deploy/jumpa.conf](../deploy/jumpa.conf) is a file that holds them all.

This page is what ` + "`jumpa config`" + ` prints.
`

// Reference describes every setting, as a page in Markdown.
func Reference() string {
	var b strings.Builder
	b.WriteString(preface)
	b.WriteString("| variable | flag | default | meaning |\n|---|---|---|---|\n")
	v := reflect.ValueOf(Defaults())
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if name := f.Tag.Get("env"); name != "-" {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, code(f.Tag.Get("flag")), code(fmt.Sprint(v.Field(i).Interface())), f.Tag.Get("help"))
		}
	}
	b.WriteString(afterword)
	return b.String()
}

// Example gives a file of settings in which every setting stands as a comment,
// with its default.
func Example() string {
	var b strings.Builder
	b.WriteString("# Settings of Jumpa, for --config. Take away the # before those that you set.\n# They are described in docs/configuration.md.\n")
	v := reflect.ValueOf(Defaults())
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if name := f.Tag.Get("env"); name != "-" {
			fmt.Fprintf(&b, "\n# %s\n#%s=%v\n", f.Tag.Get("help"), name, v.Field(i).Interface())
		}
	}
	return b.String()
}

// code shows a text as code, and nothing as a dash.
func code(text string) string {
	if text == "" {
		return "–"
	}
	return "`" + text + "`"
}
