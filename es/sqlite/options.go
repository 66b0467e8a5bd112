package sqlite

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/peatlog/peat/es"
)

// Options configures [Open]. The zero value works.
type Options struct {
	// MaxEventBytes limits payload and metadata of one event together; 0 means
	// es.DefaultMaxEventBytes.
	MaxEventBytes int
	// BusyTimeout is how long a call waits for the write lock, whoever holds
	// it, before it gives up with es.ErrBusy; 0 means 5 s.
	BusyTimeout time.Duration
	// Relaxed commits without waiting for the disk (synchronous=NORMAL). The
	// last commits before a power failure or a crash of the operating system may
	// then be lost, from the end and never a part of one; a crash of the process
	// loses nothing.
	Relaxed bool
	// Readers is the largest number of connections for reading; 0 means two per
	// processor.
	Readers int
	// Tracers are told what the store does.
	Tracers es.Tracers
}

func (o Options) withDefaults() (Options, error) {
	var faults []error
	if o.MaxEventBytes < 0 {
		faults = append(faults, fmt.Errorf("MaxEventBytes is negative: %d", o.MaxEventBytes))
	}
	if o.BusyTimeout < 0 || o.BusyTimeout > 0 && o.BusyTimeout < time.Millisecond {
		faults = append(faults, fmt.Errorf("BusyTimeout %v is below 1 ms", o.BusyTimeout))
	}
	if o.Readers < 0 {
		faults = append(faults, fmt.Errorf("the number of Readers is negative: %d", o.Readers))
	}
	o.MaxEventBytes = cmp.Or(o.MaxEventBytes, es.DefaultMaxEventBytes)
	o.BusyTimeout = cmp.Or(o.BusyTimeout, 5*time.Second)
	o.Readers = cmp.Or(o.Readers, 2*runtime.GOMAXPROCS(0))
	return o, errors.Join(faults...)
}

// memoryPath asks for a database that ends with its store.
const memoryPath = ":memory:"

// location is where a database lives.
type location struct {
	path string // absolute
	// temporary is the folder to remove with the store, "" for a lasting file.
	temporary string
}

// locate checks what can be known of path before the file is opened. It must not
// open the file itself: closing it again would drop the locks that other
// connections of this process hold on it, as POSIX has it.
func locate(path string) (location, error) {
	if path == memoryPath {
		return location{}, nil
	}
	if path == "" {
		return location{}, fmt.Errorf("the path is empty; use %q for a database that ends with the store", memoryPath)
	}
	if strings.HasPrefix(path, "file:") {
		return location{}, fmt.Errorf("%s is a URI; give the path of the file and set Options instead", path)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return location{}, err
	}
	if info, err := os.Stat(abs); err == nil && !info.Mode().IsRegular() {
		return location{}, fmt.Errorf("%s is not a regular file", path)
	}
	if _, err := os.Stat(filepath.Dir(abs)); err != nil {
		return location{}, fmt.Errorf("the folder of the file must exist: %w", err)
	}
	return location{path: abs}, nil
}

// temporary returns a new place that goes with the store. The databases that
// SQLite itself keeps in memory do not do: a reader waits there for the writer's
// transaction to end.
func temporary() (location, error) {
	folder, err := os.MkdirTemp("", "peat-")
	return location{path: filepath.Join(folder, "log.db"), temporary: folder}, err
}

// dsn is the data source name for a connection that writes or only reads.
func (l location) dsn(opts Options, write bool) string {
	synchronous := "FULL"
	switch {
	case l.temporary != "":
		synchronous = "OFF"
	case opts.Relaxed:
		synchronous = "NORMAL"
	}
	q := url.Values{
		"_txlock": {"immediate"}, // a transaction never starts as a reader that cannot write later
		"_dqs":    {"0"},
		"_pragma": {
			"busy_timeout(" + strconv.FormatInt(opts.BusyTimeout.Milliseconds(), 10) + ")",
			"synchronous(" + synchronous + ")",
			"foreign_keys(1)",
			// The write-ahead log shrinks again after a large transaction.
			"journal_size_limit(67108864)",
		},
	}
	if !write {
		q.Add("_pragma", "query_only(1)")
	}
	slashed := filepath.ToSlash(l.path)
	if !strings.HasPrefix(slashed, "/") {
		slashed = "/" + slashed // C:/… on Windows
	}
	return (&url.URL{Scheme: "file", Path: slashed, RawQuery: q.Encode()}).String()
}
