//go:build unix

package testenv_test

import (
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	// tests plays make: it says what it was told and has two tests skipped.
	tests = `echo "RACE=$RACE CGO_ENABLED=${CGO_ENABLED-} BROWSER=${PEAT_TEST_BROWSER##*/}"
if [ -n "${PEAT_TEST_SKIPPED-}" ]; then
	printf 'TestA/sqlite\nTestA/postgres\nTestA/sqlite\n' >>"$PEAT_TEST_SKIPPED"
fi
exit "${STATUS-0}"`
	// goStub races where there is a C compiler, like the real one.
	goStub = `if [ "$1" = env ]; then echo gcc; exit; fi
if [ "${CGO_ENABLED-}" = 0 ] || ! command -v gcc >/dev/null; then
	echo "go: -race requires cgo" >&2; exit 1
fi
[ -z "${NO_RACE-}" ] || { echo "-race is not supported here" >&2; exit 1; }`
	// manager installs what it knows of.
	manager = `echo "${0##*/} $*" >>"$LOG"
for package; do
	case " ${KNOWN-} " in *" $package "*) ln -s works "${0%/*}/$package" ;; esac
done
case $* in
*update*) exit "${UPDATE_STATUS-0}" ;;
*) [ -n "${KNOWN-}" ] || { echo "E: Unable to locate package"; echo; exit 100; } ;;
esac`
	notRoot    = `echo 1000`
	works      = `exit 0`
	fails      = `exit 1`
	sudo       = `[ "$1" = -n ] && shift && exec "$@"`
	allRun     = "RACE=-race CGO_ENABLED= BROWSER=chromium\n"
	noBrowser  = "RACE=-race CGO_ENABLED= BROWSER=\n"
	noRace     = "RACE= CGO_ENABLED=0 BROWSER=chromium\n"
	noPassword = "not root, and no sudo without a password"
)

// aptInstall is how a package is installed where there is apt-get.
func aptInstall(packages string) string {
	return "apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 " + packages + "\n"
}

// What the script does on a machine that has certain programs, and its last lines.
// These tests are not parallel: a program that is being written, when another one
// is started, cannot be.
func TestRun(t *testing.T) {
	const updated = "apt-get update -qq\n"
	installsBrowser := updated + aptInstall("chromium fonts-liberation")
	installsCompiler := updated + aptInstall("gcc libc6-dev")
	noChromium := func(why string) string {
		return "make test: NOT RUN: 2 browser tests of examples/bank: no Chromium, and it could not be installed (" + why + "). Install Chromium and run again.\n"
	}
	for name, m := range map[string]struct {
		programs map[string]string // beside those of machine
		env      []string
		output   string
		log      string // of the package manager
		status   int
	}{
		"nothing is missing": {
			programs: map[string]string{"gcc": works, "chromium": works, "apt-get": manager},
			output:   allRun,
		},
		"a failure of the tests is one": {
			programs: map[string]string{"gcc": works, "chromium": works}, env: []string{"STATUS=2"},
			output: allRun, status: 2,
		},
		"the browser has another name": {
			programs: map[string]string{"gcc": works, "google-chrome-stable": works},
			output:   "RACE=-race CGO_ENABLED= BROWSER=google-chrome-stable\n",
		},
		"a browser that does not run is passed over": {
			programs: map[string]string{"gcc": works, "chromium-browser": fails, "google-chrome": works},
			output:   "RACE=-race CGO_ENABLED= BROWSER=google-chrome\n",
		},
		"a browser that is named is used, and none installed": {
			programs: map[string]string{"gcc": works, "apt-get": manager}, env: []string{"PEAT_TEST_BROWSER=mine"},
			output: "RACE=-race CGO_ENABLED= BROWSER=mine\n",
		},
		"no browser is wanted": {
			programs: map[string]string{"gcc": works, "apt-get": manager}, env: []string{"PEAT_TEST_NO_BROWSER=1"},
			output: noBrowser + "make test: NOT RUN: 2 browser tests of examples/bank: PEAT_TEST_NO_BROWSER is set. Unset it and run again.\n",
		},
		"root installs a browser": {
			programs: map[string]string{"gcc": works, "apt-get": manager}, env: []string{"KNOWN=chromium"},
			output: "make test: apt-get installs Chromium\n" + allRun, log: installsBrowser,
		},
		"so does a user who needs no password": {
			programs: map[string]string{"id": notRoot, "sudo": sudo, "gcc": works, "apt-get": manager}, env: []string{"KNOWN=chromium"},
			output: "make test: apt-get installs Chromium\n" + allRun, log: installsBrowser,
		},
		"a failing update matters only if the install fails": {
			programs: map[string]string{"gcc": works, "apt-get": manager}, env: []string{"KNOWN=chromium", "UPDATE_STATUS=100"},
			output: "make test: apt-get installs Chromium\n" + allRun, log: installsBrowser,
		},
		"the install fails": {
			programs: map[string]string{"gcc": works, "apt-get": manager}, env: []string{"UPDATE_STATUS=100", "STATUS=2"},
			output: "make test: apt-get installs Chromium\n" + noBrowser + noChromium("apt-get: E: Unable to locate package"),
			log:    installsBrowser, status: 2,
		},
		"the installed browser does not run": {
			programs: map[string]string{"gcc": works, "apt-get": manager}, env: []string{"KNOWN=chromium-snap"},
			output: "make test: apt-get installs Chromium\n" + noBrowser +
				"make test: NOT RUN: 2 browser tests of examples/bank: no Chromium, and what apt-get installed does not run. Install Chromium and run again.\n",
			log: installsBrowser,
		},
		"a user who may not install": {
			programs: map[string]string{"id": notRoot, "gcc": works, "apt-get": manager},
			output:   noBrowser + noChromium(noPassword),
		},
		"a user who would need a password": {
			programs: map[string]string{"id": notRoot, "sudo": fails, "gcc": works, "apt-get": manager},
			output:   noBrowser + noChromium(noPassword),
		},
		"no package manager": {
			programs: map[string]string{"gcc": works},
			output:   noBrowser + noChromium("no apt-get, dnf, apk or brew"),
		},
		"nothing is downloaded": {
			programs: map[string]string{"gcc": works, "apt-get": manager}, env: []string{"PEAT_TEST_OFFLINE=1"},
			output: noBrowser + noChromium("PEAT_TEST_OFFLINE is set"),
		},
		"in CI a browser that cannot be had fails the tests": {
			programs: map[string]string{"gcc": works, "apt-get": manager}, env: []string{"CI=true", "STATUS=2", "PEAT_TEST_NO_BROWSER=1"},
			output: "make test: apt-get installs Chromium\n" + noBrowser + "make test: FAILED: the browser tests of examples/bank: " +
				"no Chromium, and it could not be installed (apt-get: E: Unable to locate package). Install Chromium and run again.\n",
			log: installsBrowser, status: 2,
		},
		"root installs a C compiler": {
			programs: map[string]string{"chromium": works, "apt-get": manager}, env: []string{"KNOWN=gcc"},
			output: "make test: apt-get installs a C compiler\n" + allRun, log: installsCompiler,
		},
		"no C compiler": {
			programs: map[string]string{"id": notRoot, "chromium": works, "apt-get": manager},
			output:   noRace + "make test: NOT RUN: the race detector: no C compiler, and it could not be installed (" + noPassword + "). Install gcc and run again.\n",
		},
		"in CI a C compiler that cannot be had fails the tests": {
			programs: map[string]string{"chromium": works}, env: []string{"CI=true", "STATUS=2"},
			output: allRun + "make test: FAILED: the race detector: no C compiler, and it could not be installed (no apt-get, dnf, apk or brew). Install gcc and run again.\n",
			status: 2,
		},
		"cgo is turned off": {
			programs: map[string]string{"gcc": works, "chromium": works, "apt-get": manager}, env: []string{"CGO_ENABLED=0"},
			output: noRace + "make test: NOT RUN: the race detector: CGO_ENABLED is 0. Unset it and run again.\n",
		},
		"a machine without a race detector": {
			programs: map[string]string{"gcc": works, "chromium": works, "apt-get": manager}, env: []string{"NO_RACE=1"},
			output: noRace + "make test: NOT RUN: the race detector: -race is not supported here\n",
		},
		"nobody wants to find races": {
			programs: map[string]string{"chromium": works, "apt-get": manager}, env: []string{"RACE="},
			output: "RACE= CGO_ENABLED= BROWSER=chromium\n",
		},
		"neither": {
			output: "RACE= CGO_ENABLED=0 BROWSER=\n" +
				"make test: NOT RUN: the race detector: no C compiler, and it could not be installed (no apt-get, dnf, apk or brew). Install gcc and run again.\n" +
				noChromium("no apt-get, dnf, apk or brew"),
		},
		"dnf": {
			programs: map[string]string{"gcc": works, "dnf": manager}, env: []string{"KNOWN=chromium"},
			output: "make test: dnf installs Chromium\n" + allRun, log: "dnf install -y -q chromium liberation-fonts\n",
		},
		"apk": {
			programs: map[string]string{"gcc": works, "apk": manager}, env: []string{"KNOWN=chromium"},
			output: "make test: apk installs Chromium\n" + allRun, log: "apk add -q --no-cache chromium font-liberation\n",
		},
		"brew, which is no root's": {
			programs: map[string]string{"id": notRoot, "gcc": works, "brew": manager}, env: []string{"KNOWN=google-chrome"},
			output: "make test: brew installs Chromium\nRACE=-race CGO_ENABLED= BROWSER=google-chrome\n", log: "brew install -q --cask google-chrome\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			bin := machine(t, m.programs)
			temp := t.TempDir()
			log := filepath.Join(temp, "log")
			env := append([]string{"PATH=" + bin, "TMPDIR=" + temp, "LOG=" + log, "GO=go", "RACE=-race"}, m.env...)
			output, status := run(t, env)
			if diff := cmp.Diff(m.output, output); diff != "" || status != m.status {
				t.Errorf("status %d, want %d; output (-want +got):\n%s", status, m.status, diff)
			}
			logged, err := os.ReadFile(log)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			if diff := cmp.Diff(m.log, string(logged)); diff != "" {
				t.Errorf("the package manager was called (-want +got):\n%s", diff)
			}
			if left, err := filepath.Glob(filepath.Join(temp, "tmp.*")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// machine returns a folder with what every machine has, and these programs.
func machine(t *testing.T, programs map[string]string) (bin string) {
	t.Helper()
	bin = t.TempDir()
	for _, name := range []string{"env", "grep", "ln", "mktemp", "rm", "sh", "sort", "tail", "true"} {
		path, err := exec.LookPath(name)
		if err == nil {
			err = os.Symlink(path, filepath.Join(bin, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	all := map[string]string{"go": goStub, "id": "echo 0", "works": works, "tests": tests}
	maps.Copy(all, programs)
	for name, script := range all {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return bin
}

// run runs the script in an environment.
func run(t *testing.T, env []string) (output string, status int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "run.sh", "tests")
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(out), exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(out), 0
}
