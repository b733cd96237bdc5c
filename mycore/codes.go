package mycore

import (
	_ "embed"
	"strings"
	"sync"
)

//go:embed codes.tsv
var codesTSV string

// codes gives the display of each code of each system.
var codes = sync.OnceValue(func() map[string]map[string]string {
	all := make(map[string]map[string]string)
	for line := range strings.Lines(codesTSV) {
		fields := strings.Split(strings.TrimRight(line, "\r\n"), "\t")
		if len(fields) != 3 || fields[0] == "system" {
			continue
		}
		if all[fields[0]] == nil {
			all[fields[0]] = make(map[string]string)
		}
		all[fields[0]][fields[1]] = fields[2]
	}
	return all
})

// Display gives the display of a code; ok is false for an unknown one.
func Display(system, code string) (display string, ok bool) {
	display, ok = codes()[Normalize(system)][code]
	return display, ok
}

// ValidCode tells whether a code belongs to a code system of MY Core.
func ValidCode(system, code string) bool {
	_, ok := Display(system, code)
	return ok
}

// Known tells whether MY Core defines the code system.
func Known(system string) bool { return codes()[Normalize(system)] != nil }
