package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/groupcommit"
	"github.com/peatlog/peat/internal/listeners"
)

// Store is a log in one SQLite file. It implements es.Store.
type Store struct {
	session // on the readers
	readers *handle
	// writer has one connection, which is the lock of this process: appends wait
	// for it in the queue, transactions in the pool.
	writer *handle
	// turn has room for the one who may ask for the writer's connection.
	turn  chan struct{}
	queue *groupcommit.Queue[write, outcome]

	leases    leases
	listeners listeners.Listeners
	// temporary is the folder to remove at the end, "" for none, which RemoveAll
	// takes for nothing to do.
	temporary string
}

var _ es.Store = (*Store)(nil)

// Open opens the store in the file at path, creating the file where there is none
// and bringing its schema up to date; its folder must exist. The path ":memory:"
// gives a database of the store's own that ends with [Store.Close]; it behaves as
// any other, and lives in os.TempDir without ever waiting for the disk.
//
// The same file may be opened any number of times, also by several processes.
// Errors to branch on: [ErrNotDatabase], [ErrSchemaNewer], [ErrMigrationEdited],
// es.ErrBusy when another process holds the write lock of a file that has to be
// created or migrated.
func Open(ctx context.Context, path string, opts Options) (*Store, error) {
	opts, optsErr := opts.withDefaults()
	at, pathErr := locate(path)
	if err := errors.Join(optsErr, pathErr); err != nil {
		return nil, fmt.Errorf("open sqlite store: %w", err)
	}
	if at.path == "" {
		if at, pathErr = temporary(); pathErr != nil {
			return nil, fmt.Errorf("open sqlite store: %w", pathErr)
		}
	}
	s := &Store{turn: make(chan struct{}, 1), session: session{sql: newQueries(), opts: opts}, temporary: at.temporary}
	s.queue = groupcommit.New(s.flush, groupcommit.Options{})
	if err := s.open(ctx, at); err != nil {
		if code(err) == sqlite3.SQLITE_NOTADB {
			err = fmt.Errorf("%w: %w", ErrNotDatabase, err)
		}
		return nil, fmt.Errorf("open %s: %w", path, errors.Join(statementError(err), s.closeHandles(), os.RemoveAll(s.temporary)))
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, at location) (err error) {
	if s.writer, err = openHandle(at.dsn(s.opts, true), 1); err != nil {
		return err
	}
	if s.readers, err = openHandle(at.dsn(s.opts, false), s.opts.Readers); err != nil {
		return err
	}
	s.db = s.readers
	if err := s.writer.useWAL(ctx); err != nil {
		return err
	}
	if err := s.writer.migrate(ctx, s.sql); err != nil {
		return err
	}
	if err := s.writer.prepare(ctx, append(s.sql.reads(), s.sql.writes()...)...); err != nil {
		return err
	}
	return s.readers.prepare(ctx, s.sql.reads()...)
}

// useWAL switches the file to a write-ahead log, where readers and the writer do
// not wait for each other. The file remembers it.
func (h *handle) useWAL(ctx context.Context) error {
	var mode string
	if err := queryRow(ctx, h.db, "PRAGMA journal_mode = WAL", nil, &mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("the file's journal mode stays %q, but the store needs a write-ahead log; is it on a network file system?", mode)
	}
	return nil
}

// Close waits for the write under way, up to Options.BusyTimeout, and closes the
// file. Calls that come or still wait get [ErrClosed]. Closing twice is fine.
func (s *Store) Close() error {
	if s.writer.closed.Swap(true) {
		return nil
	}
	s.readers.closed.Store(true)
	s.leases.close()
	ctx, cancel := context.WithTimeout(context.Background(), s.opts.BusyTimeout)
	defer cancel()
	// The connection is kept to the end: what still waits for it gets ErrClosed.
	conn, err := s.writer.db.Conn(ctx)
	if err != nil {
		err = errors.New("a transaction is still running; it ends on its own")
	}
	err = errors.Join(err, s.closeHandles())
	if conn != nil {
		err = errors.Join(err, conn.Close())
	}
	if err = errors.Join(err, os.RemoveAll(s.temporary)); err != nil {
		return fmt.Errorf("close sqlite store: %w", err)
	}
	return nil
}

// closeHandles closes the writer last: the last connection to close cleans up the
// write-ahead log, which a reader cannot.
func (s *Store) closeHandles() error {
	var errs []error
	for _, h := range []*handle{s.readers, s.writer} {
		if h != nil {
			errs = append(errs, h.close())
		}
	}
	return errors.Join(errs...)
}
