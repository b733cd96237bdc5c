package kafka_test

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the program end when the test is gone without cleaning up.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
