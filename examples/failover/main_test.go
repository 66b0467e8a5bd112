//go:build unix

package main

import (
	"bytes"
	"os"
	"regexp"
	"testing"

	"github.com/peatlog/peat/internal/pgtest"
)

// The demo starts this program again.
func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestDemoShowsATakeover(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := showTakeover(t.Context(), pgtest.Server(t).URL(), pgtest.NewSchema(t), &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	story := regexp.MustCompile(`(?s)` +
		`process (\d+): started.*process (\d+): begins to work on clock@1.0of2.*process \d+: handles clock@1.\dof2, .*` +
		`process \d+: started.*kill -9 (\d+)\n.*` +
		`process (\d+): begins to work on.*process (\d+): handles .*process (\d+) has taken over after [0-9.]+m?s\n$`)
	got := story.FindStringSubmatch(out.String())
	if got == nil {
		t.Fatalf("the demo says\n%s", out.String())
	}
	first, second := got[1], got[6]
	if first == second || got[3] != first || got[4] != second || got[5] != second {
		t.Errorf("%s was to be killed, and %s to take over:\n%s", first, second, out.String())
	}
}
