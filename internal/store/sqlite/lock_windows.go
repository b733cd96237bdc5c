package sqlite

import "os"

// claim takes the lock of a database for the life of the process: Windows
// refuses to remove a file that another process has open.
func claim(path string) (*os.File, error) {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return nil, ErrInUse
	}
	return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
}
