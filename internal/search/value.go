package search

import (
	"strings"

	"github.com/jumpa-hie/jumpa/mycore"
)

var escaper = strings.NewReplacer(`\`, `\\`, `|`, `\|`)

// TokenValue gives the Value of a store.Token entry: code|system, where a bar
// or backslash within the code is written with a backslash before it. Systems
// that the guide spells in several ways are kept in one.
func TokenValue(code, system string) string {
	if strings.ContainsAny(code, `\|`) {
		code = escaper.Replace(code)
	}
	if system == mycore.SystemMyKadVariant {
		system = mycore.SystemMyKad
	}
	return code + "|" + mycore.Normalize(system)
}
