//go:build !linux

package fault

import "testing"

// A disk can be made full on Linux only.
func (p *process) fill()  {}
func (p *process) empty() {}

func canFill(t *testing.T) bool {
	t.Helper()
	t.Skip("the room of a process can be limited on Linux only")
	return false
}
