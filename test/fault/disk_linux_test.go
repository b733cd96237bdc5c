package fault

import (
	"math"
	"syscall"
	"testing"
	"unsafe"
)

const fileSize = 1 // RLIMIT_FSIZE

// fill has the disk of a running process be full: no file of its grows any
// more. empty gives the room back.
func (p *process) fill() { p.room(1) }

func (p *process) empty() { p.room(math.MaxUint64) }

func (p *process) room(bytes uint64) {
	p.t.Helper()
	limit := struct{ now, most uint64 }{bytes, math.MaxUint64}
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(p.cmd.Process.Pid), fileSize, uintptr(unsafe.Pointer(&limit)), 0, 0, 0) //nolint:gosec // as the call wants it
	if errno != 0 {
		p.t.Errorf("the room of %s cannot be limited: %v", p.name, errno)
	}
}

func canFill(*testing.T) bool { return true }
