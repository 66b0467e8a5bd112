//go:build unix

package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestASkippedTestIsCountedAndInCIFails(t *testing.T) {
	t.Parallel()
	const browsed = "TestThePageOfEventsShowsThemAsTheyCome"
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "skipped")
	if err := os.WriteFile(file, []byte("TestBefore\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	test := func(ci string) (string, error) {
		cmd := exec.CommandContext(t.Context(), program, "-test.v", "-test.run=^"+browsed+"$")
		cmd.Env = append(os.Environ(), "CI="+ci, skipEnv+"=1", browserEnv+"=/nowhere/chromium", skippedEnv+"="+file)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := test("true"); err == nil || !strings.Contains(out, "no browser found") {
		t.Errorf("in CI: %v\n%s", err, out)
	}
	if out, err := test(""); err != nil || !strings.Contains(out, "--- SKIP: "+browsed) {
		t.Errorf("%v\n%s", err, out)
	}
	got, err := os.ReadFile(file)
	if want := "TestBefore\n" + browsed + "\n"; string(got) != want || err != nil {
		t.Errorf("skipped: %q, %v; want %q", got, err, want)
	}
}
