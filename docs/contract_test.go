// Package docs_test holds what the documentation says of the code.
package docs_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// tested is what tests there are in the repository.
type tested struct {
	functions map[string]bool // package.TestName
	laws      map[string]bool // the names of the laws of es/estest
	scenarios map[string]bool // the names of the scenarios of bench
}

var testName = regexp.MustCompile(`^(Test|Fuzz|Example|Benchmark)([^a-z]|$)`)

// findTests parses all test files of the repository, and the tables of laws and scenarios.
func findTests(t *testing.T) tested {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	found := tested{map[string]bool{}, map[string]bool{}, map[string]bool{}}
	files := token.NewFileSet()
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && name != root) {
			return filepath.SkipDir
		}
		folder, err := filepath.Rel(root, filepath.Dir(name))
		if err != nil || filepath.Ext(name) != ".go" {
			return err
		}
		folder = filepath.ToSlash(folder)
		isTest := strings.HasSuffix(name, "_test.go")
		if !isTest && folder != "es/estest" && folder != "bench" {
			return nil
		}
		file, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		switch {
		case isTest:
			found.addFunctions(folder, file)
		case folder == "es/estest":
			addNames(found.laws, "law", file)
		case folder == "bench":
			addNames(found.scenarios, "scenario", file)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func (f tested) addFunctions(folder string, file *ast.File) {
	for _, decl := range file.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && testName.MatchString(fn.Name.Name) {
			f.functions[folder+"."+fn.Name.Name] = true
		}
	}
}

// addNames adds the first strings of the elements of all []kind{{"name", …}, …}.
func addNames(names map[string]bool, kind string, file *ast.File) {
	ast.Inspect(file, func(n ast.Node) bool {
		list, ok := n.(*ast.CompositeLit)
		if !ok {
			return true
		}
		of, ok := list.Type.(*ast.ArrayType)
		if !ok || fmt.Sprint(of.Elt) != kind {
			return true
		}
		for _, e := range list.Elts {
			if e, ok := e.(*ast.CompositeLit); ok && len(e.Elts) > 0 {
				if first, ok := e.Elts[0].(*ast.BasicLit); ok {
					if name, err := strconv.Unquote(first.Value); err == nil {
						names[name] = true
					}
				}
			}
		}
		return false
	})
}

var (
	row       = regexp.MustCompile(`^\| ([BWP])(\d+) \| (.+) \| (.+) \|$`)
	quoted    = regexp.MustCompile("`([^`]+)`")
	reference = regexp.MustCompile(`^([a-z][a-z0-9/]*\.(?:Test|Fuzz|Example|Benchmark)\w*)(/.+)?$`)
)

// holds tells whether what a row names is there. A quotation that names no test is none.
func (f tested) holds(quotation string) (isTest, there bool) {
	if law, ok := strings.CutPrefix(quotation, "law: "); ok {
		return true, f.laws[law]
	}
	if scenario, ok := strings.CutPrefix(quotation, "bench: "); ok {
		return true, f.scenarios[scenario]
	}
	if m := reference.FindStringSubmatch(quotation); m != nil {
		return true, f.functions[m[1]] // of subtests, only where they are
	}
	return false, false
}

func TestContract(t *testing.T) {
	t.Parallel()
	found := findTests(t)
	if len(found.functions) < 300 || len(found.laws) < 50 || len(found.scenarios) < 10 {
		t.Fatalf("found %d tests, %d laws, %d scenarios: what has moved?", len(found.functions), len(found.laws), len(found.scenarios))
	}
	text, err := os.ReadFile("contract.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range faults(string(text), found) {
		t.Error(fault)
	}
	for line := range strings.Lines(string(text)) {
		if m := row.FindStringSubmatch(strings.TrimSpace(line)); m != nil && strings.Contains(m[4], "open: ") {
			_, open, _ := strings.Cut(m[4], "open: ")
			t.Logf("%s%s is open: %s", m[1], m[2], open)
		}
	}
}

// faults returns what is wrong with a contract: rows that are missing, out of order,
// that name nothing, or that name what is not there.
func faults(text string, found tested) (all []string) {
	next := map[string]int{}
	for line := range strings.Lines(text) {
		m := row.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		id := m[1] + m[2]
		if next[m[1]]++; m[2] != strconv.Itoa(next[m[1]]) {
			all = append(all, fmt.Sprintf("%s comes where %s%d is due", id, m[1], next[m[1]]))
		}
		tests := 0
		for _, q := range quoted.FindAllStringSubmatch(m[4], -1) {
			isTest, there := found.holds(q[1])
			if isTest {
				tests++
			}
			if isTest && !there {
				all = append(all, fmt.Sprintf("%s names %q, which is not there", id, q[1]))
			}
		}
		if tests == 0 && !strings.HasPrefix(m[4], "cannot apply: ") {
			all = append(all, id+" names no test and does not say why it cannot apply")
		}
	}
	for list, want := range map[string]int{"B": 94, "W": 23, "P": 24} {
		if next[list] != want {
			all = append(all, fmt.Sprintf("%d rows of list %s, want %d", next[list], list, want))
		}
	}
	return all
}

// A contract that names what is not there is noticed.
func TestContractNotices(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("contract.md")
	if err != nil {
		t.Fatal(err)
	}
	found := findTests(t)
	for name, c := range map[string]struct{ old, new, want string }{
		"a test that is not there":     {"`aggregate.TestSavedEventsRebuildTheState`", "`aggregate.TestNever`", `B1 names "aggregate.TestNever"`},
		"a test of another package":    {"`aggregate.TestSavedEventsRebuildTheState`", "`es.TestSavedEventsRebuildTheState`", "B1 names"},
		"a law that is not there":      {"`law: concurrent appends at any version get contiguous versions`", "`law: never`", `B4 names "law: never"`},
		"a scenario that is not there": {"`bench: wakes`", "`bench: never`", `P1 names "bench: never"`},
		"a row that is missing":        {"| W2 |", "| X2 |", "W3 comes where W2 is due"},
		"a row that names nothing":     {"| `aggregate.TestSavedEventsRebuildTheState` |", "| it is so |", "B1 names no test"},
		"the last row":                 {"| P24 |", "| Q24 |", "23 rows of list P"},
	} {
		broken := strings.Replace(string(text), c.old, c.new, 1)
		if broken == string(text) {
			t.Errorf("%s: %q is not in the text", name, c.old)
		}
		if got := strings.Join(faults(broken, found), "\n"); !strings.Contains(got, c.want) {
			t.Errorf("%s: want %q, got:\n%s", name, c.want, got)
		}
	}
}

// The links of the documents in this folder lead somewhere.
func TestLinks(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)#:]+)\)`)
	documents, err := filepath.Glob("*.md")
	if err != nil || len(documents) == 0 {
		t.Fatalf("%d documents, %v", len(documents), err)
	}
	for _, d := range documents {
		text, err := os.ReadFile(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.FromSlash(path.Clean(m[1]))); err != nil {
				t.Errorf("%s: %v", d, err)
			}
		}
	}
}
