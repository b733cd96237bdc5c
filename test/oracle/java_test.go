package oracle

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jumpa-hie/jumpa/mycore"
)

// The Java program serves all tests of the package: it takes seconds to start.
var oracle struct {
	once sync.Once
	err  error
	in   io.WriteCloser
	out  *bufio.Scanner
	cmd  *exec.Cmd
	said strings.Builder // what it has against us

	sync.Mutex
}

func TestMain(m *testing.M) {
	code := m.Run()
	if oracle.in != nil {
		_ = oracle.in.Close() // it ends with its input
		_ = oracle.cmd.Wait()
	}
	os.Exit(code)
}

// flags keep a Java program small and quick to start.
var flags = []string{"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-cp", "target/lib/*"}

// startOracle gives the program MY Core's definitions.
func startOracle() error {
	dir, err := os.MkdirTemp("", "oracle")
	if err != nil {
		return err
	}
	for _, doc := range mycore.Definitions() {
		if err := os.WriteFile(filepath.Join(dir, doc.Type()+"-"+doc.ID()+".json"), doc.Bytes(), 0o600); err != nil {
			return err
		}
	}
	oracle.cmd = exec.Command("java", append(flags, "Oracle.java", dir)...)
	oracle.cmd.Stderr = &oracle.said
	if oracle.in, err = oracle.cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := oracle.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	oracle.out = bufio.NewScanner(out)
	oracle.out.Buffer(nil, 64<<20)
	return oracle.cmd.Start()
}

// task is what the program is asked; Oracle.java says how it answers.
type task struct {
	Document string   `json:"document"`
	Profiles []string `json:"profiles,omitempty"`
	Write    bool     `json:"write,omitempty"`
}

type answer struct {
	Issues    []issue
	JSON, XML string
	Error     string
}

type issue struct{ Severity, Path, Key, Text string }

// ask gives the answers to all tasks.
func ask(t *testing.T, tasks []task) []answer {
	t.Helper()
	if _, err := exec.LookPath("javac"); err != nil {
		t.Fatal("Java's compiler is missing: run `make deps`")
	}
	_ = jar(t, "hapi-fhir-validation") // or says how to get it
	oracle.Lock()
	defer oracle.Unlock()
	if oracle.once.Do(func() { oracle.err = startOracle() }); oracle.err != nil {
		t.Fatal(oracle.err)
	}
	go func() {
		to := json.NewEncoder(oracle.in)
		for _, one := range tasks {
			if to.Encode(one) != nil {
				return // the program has ended; the reader sees it
			}
		}
	}()
	answers := make([]answer, len(tasks))
	for i := range answers {
		if !oracle.out.Scan() {
			t.Fatalf("the oracle has ended: %v\n%s", oracle.out.Err(), oracle.said.String())
		}
		if err := json.Unmarshal(oracle.out.Bytes(), &answers[i]); err != nil {
			t.Fatal(err)
		}
	}
	return answers
}

func (i issue) String() string {
	return fmt.Sprintf("%s: %s: %s (%s)", i.Severity, i.Path, i.Text, i.Key)
}
