package broker

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

const errorSharingViolation syscall.Errno = 32

// lock opens the file so that nobody else can open it. The system lets go of
// it when the process ends, however it ends.
func lock(path string) (*os.File, error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	h, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE, 0, nil,
		syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if errors.Is(err, errorSharingViolation) {
		return nil, ErrInUse
	}
	if err != nil {
		return nil, fmt.Errorf("broker: the directory cannot be locked: %w", err)
	}
	return os.NewFile(uintptr(h), path), nil
}
