package sqlite_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/sqlite"
)

const (
	// crashing appends groups until it is killed.
	crashing = "crashing"
	// writing appends a number of events, to a stream of its own and to a shared one.
	writing = "writing"
)

// runChild is the life of a child process.
func runChild(ctx context.Context, kind, path string) error {
	s, err := sqlite.Open(ctx, path, sqlite.Options{})
	if err != nil {
		return err
	}
	if kind == writing {
		if err := writeEvents(ctx, s, "child", func() { fmt.Println("started") }); err != nil {
			return err
		}
		return s.Close()
	}
	failures := make(chan error)
	for i := range writersOfGroups {
		go func() { failures <- writeGroups(ctx, s, i) }()
	}
	return <-failures
}

const (
	writersOfGroups = 4
	groupSize       = 5
)

// writeGroups appends groups of events for ever and prints each one as soon as it
// is acknowledged. Every second one goes to a stream that all writers share.
func writeGroups(ctx context.Context, s *sqlite.Store, writer int) error {
	for n := 0; ; n++ {
		stream := es.StreamID{Category: "crash", Key: "shared"}
		if n%2 == 0 {
			stream.Key = strconv.Itoa(writer)
		}
		name := fmt.Sprintf("%d.%d.%d", os.Getpid(), writer, n)
		var group [groupSize]es.EventData
		for i := range group {
			group[i] = es.EventData{Type: "crash.noted", Data: fmt.Appendf(nil, `"%s/%d"`, name, i)}
		}
		result, err := s.Append(ctx, stream, es.Any, group[:]...)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(os.Stdout, "%s %d %s\n", stream, result.Version, name); err != nil {
			return err
		}
	}
}

// Rows B82, B83: a process that is killed at any moment leaves every append that
// it acknowledged, and of the others all events or none.
func TestKilledWriterLeavesWholeAppends(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	acknowledged := map[string][]string{} // by stream: "version name"
	for round := range 20 {
		for _, line := range killedChild(t, path, 1+rand.IntN(100)) {
			stream, rest, _ := strings.Cut(line, " ")
			acknowledged[stream] = append(acknowledged[stream], rest)
		}
		s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if result := pragma(t, s, "integrity_check"); result != "ok" {
			t.Fatalf("round %d: integrity check: %s", round, result)
		}
		for stream, appends := range acknowledged {
			checkGroups(t, s, stream, appends)
		}
		mustAppend(t, s, streamA, es.Exact(int64(round)), noted())
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			return
		}
	}
}

// killedChild starts a child that appends groups, kills it after so many
// acknowledged ones, and returns all that it has acknowledged by then.
func killedChild(t *testing.T, path string, after int) (lines []string) {
	t.Helper()
	child, output := startChild(t, crashing, path)
	for output.Scan() {
		lines = append(lines, output.Text())
		if len(lines) == after {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); err == nil || len(lines) < after {
		t.Fatalf("the child ended on its own after %d appends: %v", len(lines), err)
	}
	return lines
}

// startChild runs this test binary as a child. It is killed with the test.
func startChild(t *testing.T, kind, path string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], path)
	child.Env = append(os.Environ(), childVariable+"="+kind)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	return child, bufio.NewScanner(out)
}

// checkGroups checks that a stream consists of whole groups, and that the
// acknowledged ones are where the child was told.
func checkGroups(t *testing.T, s *sqlite.Store, stream string, acknowledged []string) {
	t.Helper()
	id, err := es.ParseStreamID(stream)
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	group, n := "", 0
	for rec, err := range s.ReadStream(t.Context(), id, es.ReadOptions{}) { // checks the versions
		if err != nil {
			t.Fatal(err)
		}
		name, index, _ := strings.Cut(strings.Trim(string(rec.Data), `"`), "/")
		if n%groupSize == 0 {
			group = name
		}
		if name != group || index != strconv.Itoa(n%groupSize) {
			t.Errorf("%s: version %d is event %s of append %s, in the middle of %s", stream, rec.Version, index, name, group)
		}
		n++
		there[fmt.Sprintf("%d %s", rec.Version, name)] = true
	}
	if n%groupSize != 0 {
		t.Errorf("%s ends with a part of append %s", stream, group)
	}
	for _, a := range acknowledged {
		if !there[a] {
			t.Errorf("%s: the acknowledged append %q is lost", stream, a)
		}
	}
}

const eventsOfProcess = 100

// writeEvents appends events from two goroutines, in turn to a stream of the
// process and to one that the processes share.
func writeEvents(ctx context.Context, s *sqlite.Store, process string, started func()) error {
	own, shared := es.StreamID{Category: "process", Key: process}, es.StreamID{Category: "process", Key: "shared"}
	if _, err := s.Append(ctx, own, es.NoStream, noted()); err != nil {
		return err
	}
	started()
	failures := make(chan error, 2)
	for range cap(failures) {
		go func() {
			for range eventsOfProcess / cap(failures) {
				for _, id := range []es.StreamID{own, shared} {
					if _, err := s.Append(ctx, id, es.StreamExists, noted()); err != nil {
						failures <- err
						return
					}
				}
			}
			failures <- nil
		}()
	}
	var err error
	for range cap(failures) {
		err = errors.Join(err, <-failures)
	}
	return err
}

func TestTwoProcessesWriteToOneFile(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	s := openStore(t, path, sqlite.Options{})
	shared := es.StreamID{Category: "process", Key: "shared"}
	mustAppend(t, s, shared, es.NoStream, noted())
	child, output := startChild(t, writing, path)
	if !output.Scan() {
		t.Fatalf("the child does not start: %v", child.Wait())
	}
	var all sync.WaitGroup
	all.Go(func() {
		if err := writeEvents(t.Context(), s, "parent", func() {}); err != nil {
			t.Error(err)
		}
	})
	for output.Scan() {
	}
	if err := child.Wait(); err != nil {
		t.Error(err)
	}
	all.Wait()
	for stream, want := range map[es.StreamID]int{
		{Category: "process", Key: "parent"}: 1 + eventsOfProcess,
		{Category: "process", Key: "child"}:  1 + eventsOfProcess,
		shared:                               1 + 2*eventsOfProcess,
	} {
		if n := count(t, s, stream); n != want {
			t.Errorf("%s has %d events, want %d", stream, n, want)
		}
	}
	if result := pragma(t, s, "integrity_check"); result != "ok" {
		t.Errorf("integrity check: %s", result)
	}
}
