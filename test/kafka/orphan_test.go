//go:build !linux

package kafka_test

import "os/exec"

// dieWithParent is possible on Linux only.
func dieWithParent(*exec.Cmd) {}
