package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

const root = "../.."

// pages gives the Markdown files of the project, by path.
func pages(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "node_modules" || strings.HasPrefix(name, "jumpa-data")) {
			return filepath.SkipDir
		}
		if !d.IsDir() && strings.HasSuffix(path, ".md") {
			body, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			found[path] = string(body)
		}
		return nil
	})
	if err != nil || len(found) < 5 {
		t.Fatalf("%d pages, %v", len(found), err)
	}
	return found
}

var (
	link    = regexp.MustCompile(`\]\(([^)#\s]+)(#[^)\s]*)?\)`)
	fence   = regexp.MustCompile("(?ms)^```sh[^\n]*\n(.*?)^```")
	quoted  = regexp.MustCompile("`((?:jumpa|make) [^`…]+)`")
	program = regexp.MustCompile(`^(?:go run \./cmd/jumpa|jumpa) (.+)$`)
	rule    = regexp.MustCompile(`(?m)^([a-z]+):`)
)

// What the pages link to is there.
func TestLinksOfDocuments(t *testing.T) {
	for path, body := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(body, -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", path, m[1])
			}
		}
	}
}

// The commands in the pages are ones that the program and the Makefile know,
// with the flags that they have. Those of the integration page are run by a
// test of their own.
func TestCommandsOfDocuments(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	var targets []string
	for _, m := range rule.FindAllStringSubmatch(string(makefile), -1) {
		targets = append(targets, m[1])
	}
	checked := 0
	for path, body := range pages(t) {
		var lines []string
		for _, m := range fence.FindAllStringSubmatch(body, -1) {
			lines = append(lines, strings.Split(m[1], "\n")...)
		}
		for _, m := range quoted.FindAllStringSubmatch(body, -1) {
			lines = append(lines, m[1])
		}
		for _, line := range lines {
			line, _, _ = strings.Cut(line, " #")
			line = strings.TrimSpace(line)
			if name, ok := strings.CutPrefix(line, "make "); ok {
				checked++
				if !slices.Contains(targets, name) {
					t.Errorf("%s: there is no %q", path, line)
				}
			}
			if m := program.FindStringSubmatch(line); m != nil {
				checked++
				for _, args := range alternatives(m[1]) {
					if err := known(args); err != nil {
						t.Errorf("%s: %q: %v", path, line, err)
					}
				}
			}
		}
	}
	if checked < 10 {
		t.Errorf("only %d commands were found", checked)
	}
}

// alternatives writes "demo vci|vce" out.
func alternatives(command string) [][]string {
	words := strings.Fields(command)
	for i, w := range words {
		if a, b, ok := strings.Cut(w, "|"); ok {
			one, two := slices.Clone(words), slices.Clone(words)
			one[i], two[i] = a, b
			return [][]string{one, two}
		}
	}
	return [][]string{words}
}

// known parses a command without running it. A page may name a command alone,
// without what has to follow.
func known(args []string) error {
	var c commands
	parser, err := kong.New(&c, kong.Name("jumpa"), kong.NoDefaultHelp())
	if err != nil {
		return err
	}
	args = slices.DeleteFunc(args, func(a string) bool { return a == "--help" })
	_, err = parser.Parse(args)
	if err != nil && (strings.HasPrefix(err.Error(), "expected ") || strings.HasPrefix(err.Error(), "missing flags")) {
		return nil
	}
	return err
}
