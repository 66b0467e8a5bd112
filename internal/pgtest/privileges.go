//go:build unix

package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// serverUser is whom PostgreSQL's programs run as: nil, for the test's own user,
// unless that is root, which they refuse. The system calls to change user come
// with exec, so there is no need for su or sudo, which containers often lack.
var serverUser = sync.OnceValues(func() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if err = errors.Join(err, gidErr); err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody: " +
		"run the tests as another user, or set " + databaseURLEnv)
})

// serverCommand prepares one of PostgreSQL's programs. It runs in dir, as the
// test's working folder may be closed to the server's user, in a session of its
// own, so that a Ctrl-C reaches it through the watchdog only, and without the
// variables that would change its defaults.
func serverCommand(dir, path string, args ...string) (*exec.Cmd, error) {
	cred, err := serverUser()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: cred}
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "PG")
	}), "LC_ALL=C")
	return cmd, nil
}

// scratchDir makes a folder that belongs to the server's user.
func scratchDir() (string, error) {
	cred, err := serverUser()
	if err != nil {
		return "", err
	}
	base, err := filepath.Abs(os.TempDir())
	if err != nil {
		return "", err
	}
	if cred != nil && !openToAll(base) {
		base = "/tmp" // root's TMPDIR may be root's alone
	}
	dir, err := os.MkdirTemp(base, "peat-pgtest-")
	if err != nil || cred == nil {
		return dir, err
	}
	if err := os.Chown(dir, int(cred.Uid), int(cred.Gid)); err != nil {
		_ = os.Remove(dir)
		return "", err
	}
	return dir, nil
}

// openToAll reports whether any user can reach what is in dir, or will be once it
// exists: every folder on the way must allow passing.
func openToAll(dir string) bool {
	for ; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err == nil && info.Mode().Perm()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}
