package app

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// FromEnvironment gives the defaults with what the variables of the
// environment say instead. look is os.LookupEnv.
func FromEnvironment(look func(string) (string, bool)) (Config, error) {
	cfg := Defaults()
	v := reflect.ValueOf(&cfg).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("env")
		text, ok := look(name)
		if name == "-" || !ok || text == "" {
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
		}
	}
	return cfg, nil
}

// Reference describes every setting, as a Markdown table.
func Reference() string {
	var b strings.Builder
	b.WriteString("| variable | default | meaning |\n|---|---|---|\n")
	v := reflect.ValueOf(Defaults())
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if name := f.Tag.Get("env"); name != "-" {
			fmt.Fprintf(&b, "| `%s` | `%v` | %s |\n", name, v.Field(i).Interface(), f.Tag.Get("help"))
		}
	}
	return strings.ReplaceAll(b.String(), "| `` |", "| – |")
}
