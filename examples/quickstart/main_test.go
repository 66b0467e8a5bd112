package main

import (
	"io"
	"os"
	"strings"
	"testing"
)

// The README shows this program, to the letter.
func TestReadmeShowsTheProgram(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(program), "\n") // the command's own comment is not shown
	_, shown, ok := strings.Cut(string(readme), "```go\n")
	if shown, _, _ = strings.Cut(shown, "```"); !ok || shown != code {
		t.Errorf("the program in the README differs from main.go:\n%s", shown)
	}
}

func TestProgramPrintsWhatTheReadmeSays(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = w
	main()
	os.Stdout = stdout
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	printed, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if len(printed) == 0 || !strings.Contains(string(readme), string(printed)) {
		t.Errorf("the program prints %q, which the README does not say", printed)
	}
}
