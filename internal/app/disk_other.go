//go:build !linux && !darwin && !freebsd

package app

// freeSpace is not known on this system.
func freeSpace(string) (n uint64, ok bool) { return 0, false }
