//go:build linux || darwin || freebsd

package app

import "syscall"

// freeSpace tells how many bytes the program may still write to where a
// directory is.
func freeSpace(dir string) (n uint64, ok bool) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, false
	}
	return uint64(s.Bavail) * uint64(s.Bsize), true //nolint:gosec,unconvert // never negative; the types differ by system
}
