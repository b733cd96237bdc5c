package internal

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/jumpa-hie/jumpa/"

// layers, low to high. A package imports only packages of lower layers.
var layers = [][]string{
	{"fhir"},
	{"fhir/fhirpath", "fhir/fhirpath/internal/gen"},
	{"fhir/r4", "fhir/r4/gen"},
	{"fhir/fhirxml", "fhir/terminology"},
	{"fhir/r4/r4test", "fhir/validate"},
	{"mycore"},
	{"internal/store", "internal/meeting"},
	{"internal/auth", "internal/search", "internal/store/query"},
	{"internal/notify", "internal/audit", "internal/subscription", "internal/library", "internal/store/storetest", "internal/store/tables", "internal/store/postgres/postgrestest", "internal/lease"},
	{"internal/store/sqlite", "internal/store/postgres", "internal/record"},
	{"internal/booking", "internal/delivery"},
	{"internal/consult"},
	{"internal/exchange"},
	{"source", "internal/outbox", "internal/kafka", "internal/meeting/room/signal", "internal/meeting/jitsi/preset", "internal/meeting/jitsi/roster", "internal/meeting/jitsitest"},
	{"internal/broker", "internal/meeting/room", "internal/meeting/room/headless", "internal/meeting/jitsi", "internal/meeting/jaas", "internal/trace"},
	{"internal/web/ui"},
	{"internal/api", "internal/web/portal", "internal/web/desk"},
	{"internal/play"},
	{"internal/app"},
	{"cmd/jumpa"},
	{"test/browser"},
	{"test/e2e", "test/fault", "test/foreign", "test/kafka", "test/oracle"},
}

// public packages may be imported by programs of others: they stand on public
// packages alone.
var public = map[string]bool{"fhir": true, "fhir/fhirpath": true, "fhir/r4": true, "fhir/fhirxml": true, "fhir/terminology": true, "fhir/validate": true, "mycore": true, "source": true}

// concrete packages are named by app (and by tests) only.
var concrete = map[string]bool{
	"internal/store/sqlite": true, "internal/store/postgres": true, "internal/broker": true, "internal/kafka": true, "internal/meeting/room": true,
	"internal/meeting/jitsi": true, "internal/meeting/jaas": true,
}

func TestPackagesImportOnlyLowerLayers(t *testing.T) {
	level := map[string]int{}
	for i, row := range layers {
		for _, p := range row {
			level[p] = i
		}
	}
	checked := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && d.Name() != "..") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		from := filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), "../"))
		at, known := level[from]
		if !known {
			t.Errorf("%s: package %s has no layer", path, from)
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			to, ours := strings.CutPrefix(imported, module)
			if !ours {
				continue
			}
			checked++
			switch target, ok := level[to]; {
			case !ok:
				t.Errorf("%s imports %s, which has no layer", path, to)
			case target >= at:
				t.Errorf("%s (layer %d) imports %s (layer %d), which is not below it", path, at, to, target)
			case concrete[to] && from != "internal/app" && !strings.HasPrefix(from, "test/"):
				t.Errorf("%s names the concrete %s; only internal/app may", path, to)
			case public[from] && !public[to]:
				t.Errorf("%s is public and imports the internal %s", path, to)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if checked < 20 {
		t.Fatalf("only %d imports were checked: the walk is broken", checked)
	}
}
