//go:build unix

package pgtest

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// majorEnv names the variable that chooses the major version of own clusters.
const majorEnv = "PEAT_TEST_POSTGRES"

// usualDirs are where distributions, PostgreSQL's own installer and Homebrew put
// servers, mostly without adding them to PATH.
var usualDirs = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/usr/local/pgsql/bin",
	"/usr/local/opt/postgresql*/bin",
	"/opt/homebrew/opt/postgresql*/bin",
}

// binaries is a folder of PostgreSQL's programs; the zero value is none.
type binaries struct {
	dir          string
	version      string
	major, minor int
}

// chooseBinaries finds the newest server of a major version, or of the one in
// PEAT_TEST_POSTGRES, or of any. Those of the machine go before the download.
func chooseBinaries(major string) (binaries, error) {
	var want int
	if major = cmp.Or(major, os.Getenv(majorEnv)); major != "" {
		var err error
		if want, err = strconv.Atoi(major); err != nil {
			return binaries{}, fmt.Errorf("%q is not a PostgreSQL major version such as 18, see %s", major, majorEnv)
		}
	}
	var best binaries
	for _, dir := range candidates() {
		b, err := inspect(dir)
		if err != nil || want != 0 && b.major != want {
			continue
		}
		if cmp.Or(cmp.Compare(b.major, best.major), cmp.Compare(b.minor, best.minor)) > 0 {
			best = b
		}
	}
	if best.dir != "" {
		return best, nil
	}
	return downloaded(want)
}

// candidates are folders that may hold a server. Links are followed, since what
// PATH finds is often a link to one program of a set.
func candidates() []string {
	var dirs []string
	if path, err := exec.LookPath("postgres"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	for _, pattern := range usualDirs {
		found, _ := filepath.Glob(pattern) // the patterns are well-formed
		dirs = append(dirs, found...)
	}
	return dirs
}

// inspect asks the server in dir for its version, as the user who will run it:
// one that this user cannot run is no candidate.
func inspect(dir string) (binaries, error) {
	if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
		return binaries{}, err
	}
	cmd, err := serverCommand("/", filepath.Join(dir, "postgres"), "--version")
	if err != nil {
		return binaries{}, err
	}
	out, err := cmd.Output()
	if err != nil {
		return binaries{}, fmt.Errorf("%s: %w", cmd, err)
	}
	b := binaries{dir: dir}
	// "postgres (PostgreSQL) 15.18 (Debian 15.18-0)", or 19beta1 with no minor yet
	fields := strings.Fields(string(out))
	if len(fields) < 3 {
		return binaries{}, fmt.Errorf("%s: unexpected output %q", cmd, out)
	}
	b.version = fields[2]
	_, _ = fmt.Sscanf(b.version, "%d.%d", &b.major, &b.minor)
	return b, nil
}
