//go:build unix

package pgtest

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// newestMajor is what a machine without a server gets when it does not ask.
const newestMajor = 18

// releases has the latest patch of each major version that embedded-postgres knows.
var releases = map[int]embeddedpostgres.PostgresVersion{
	18: embeddedpostgres.V18,
	17: embeddedpostgres.V17,
	16: embeddedpostgres.V16,
	15: embeddedpostgres.V15,
	14: embeddedpostgres.V14,
}

// downloaded returns the cached binaries of a major version (0: the newest) and
// fetches them first where there are none.
func downloaded(major int) (binaries, error) {
	major = cmp.Or(major, newestMajor)
	release, ok := releases[major]
	if !ok {
		return binaries{}, fmt.Errorf("no PostgreSQL %d on this machine and none to download: install it, or choose another by %s", major, majorEnv)
	}
	cache, err := cacheDir()
	if err != nil {
		return binaries{}, err
	}
	dir := filepath.Join(cache, string(release))
	if err := fetchOnce(release, dir); err != nil {
		return binaries{}, fmt.Errorf("no PostgreSQL %d on this machine, and downloading %s failed: %w\n"+
			"Either install PostgreSQL, or choose a version that the machine has by %s, or set %s to a running server, "+
			"or let the machine reach Maven Central once (HTTPS_PROXY applies)", major, release, err, majorEnv, databaseURLEnv)
	}
	return inspect(filepath.Join(dir, "bin"))
}

// cacheDir is the user's cache folder. Root's is mostly closed to the user whom
// the server has to run as, and a copy per cluster would be slow, so that root
// uses the system's cache folder then.
func cacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if os.Geteuid() == 0 && (err != nil || !openToAll(base)) {
		base, err = "/var/cache", nil
	}
	return filepath.Join(base, "peat", "postgres"), err
}

// makeCache makes the cache folder and the one above it, both ours, and opens them
// whatever the umask: the server's user has to get through.
func makeCache(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return errors.Join(os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(dir), 0o755))
}

// fetchOnce fills dir, unless it is there. Processes that want the same release at
// the same time take turns by a lock file; dir appears by a rename, complete or
// not at all, so that nobody needs the lock to use it.
func fetchOnce(release embeddedpostgres.PostgresVersion, dir string) error {
	if exists(dir) {
		return nil
	}
	if err := makeCache(filepath.Dir(dir)); err != nil {
		return err
	}
	lock, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }() // also gives up the lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if exists(dir) {
		return nil
	}
	// The holder of the lock is alone here: what it finds is from one that died.
	stage := dir + ".partial"
	if err := os.RemoveAll(stage); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(stage) }()
	if err := fetch(release, stage); err != nil {
		return err
	}
	return os.Rename(filepath.Join(stage, "tree"), dir)
}

// fetch downloads and unpacks a release into stage/tree.
//
// Of embedded-postgres we want these two steps only: its Start goes on to run
// initdb as the current user, which fails for root, and has no step to stop at.
// We make it stop, before it runs anything, by a data folder that cannot be: one
// inside of a regular file. Start then always fails, so its error does not tell
// how far it came, but the runtime folder does: Start makes it right after
// unpacking everything. Port 0 passes its check that the port is free.
func fetch(release embeddedpostgres.PostgresVersion, stage string) error {
	tree, unpacked, file := filepath.Join(stage, "tree"), filepath.Join(stage, "unpacked"), filepath.Join(stage, "file")
	if err := os.MkdirAll(stage, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return err
	}
	err := embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().
		Version(release).
		Port(0).
		CachePath(filepath.Join(stage, "archive")).
		BinariesPath(tree).
		RuntimePath(unpacked).
		DataPath(filepath.Join(file, "data")).
		Logger(io.Discard)).
		Start()
	if !exists(unpacked) {
		return cmp.Or(err, errors.New("embedded-postgres unpacked nothing"))
	}
	return openForReading(tree)
}

// openForReading undoes a strict umask, since another user may run the programs.
func openForReading(tree string) error {
	return filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		mode := info.Mode().Perm() | 0o444
		if mode&0o100 != 0 {
			mode |= 0o111
		}
		return os.Chmod(path, mode)
	})
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
