package backends

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/estest"
	"github.com/peatlog/peat/es/sqlite"
)

// SQLite is a log in a file of its own.
type SQLite struct {
	Store   *sqlite.Store
	Path    string
	Options sqlite.Options

	damaged bool
}

// NewSQLite returns an empty log. Its file is removed when the test ends.
func NewSQLite(t testing.TB) *SQLite {
	t.Helper()
	return newSQLite(t, es.Tracers{})
}

func newSQLite(t testing.TB, tracers es.Tracers) *SQLite {
	t.Helper()
	s := &SQLite{
		Path:    filepath.Join(t.TempDir(), "log.db"),
		Options: sqlite.Options{MaxEventBytes: estest.MaxEventBytes, Tracers: tracers},
	}
	var err error
	if s.Store, err = sqlite.Open(t.Context(), s.Path, s.Options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.checkInvariants(t)
		if err := s.Store.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// Backend returns the log as the conformance suite wants it.
func (s *SQLite) Backend() estest.Backend {
	return estest.Backend{
		Store:  s.Store,
		InTx:   es.AnyTx(s.Store.InTx),
		Reopen: s.reopen,
		DeleteEvent: func(ctx context.Context, stream es.StreamID, version int64) error {
			s.damaged = true
			return s.Store.InTx(ctx, func(tx *sqlite.Tx) error {
				result, err := tx.SQL().ExecContext(ctx, `
					DELETE FROM peat_events WHERE stream_version = ?
					AND stream_no = (SELECT stream_no FROM peat_streams WHERE stream_id = ?)`, version, stream.String())
				if err != nil {
					return err
				}
				if n, err := result.RowsAffected(); err != nil || n != 1 {
					return fmt.Errorf("deleted %d events, error %w", n, err)
				}
				return nil
			})
		},
		Deliver: func(ctx context.Context, f func(tx es.Tx) error, p es.Progress) error {
			return s.Store.Deliver(ctx, func(tx *sql.Tx) error { return f(s.Store.Join(tx)) }, p)
		},
		TakeOver: func(ctx context.Context, t es.TakeOver, f func(tx es.Tx) error) (bool, error) {
			if f == nil {
				return s.Store.TakeOver(ctx, t, nil)
			}
			return s.Store.TakeOver(ctx, t, func(tx *sql.Tx) error { return f(s.Store.Join(tx)) })
		},
		Forget: func(ctx context.Context, subscription string) error {
			return s.Store.InTx(ctx, func(tx *sqlite.Tx) error {
				_, err := tx.SQL().ExecContext(ctx, "DELETE FROM peat_subscriptions WHERE name = ?", subscription)
				return err
			})
		},
	}
}

// reopen opens the file once more, beside the open store; the second store is
// closed with ctx.
func (s *SQLite) reopen(ctx context.Context) (es.Store, error) {
	again, err := sqlite.Open(ctx, s.Path, s.Options)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = again.Close() })
	return again, nil
}

// sqliteInvariants finds the streams that are not as every append leaves them.
const sqliteInvariants = `
SELECT s.stream_id, 'version ' || s.version || ', events ' || count(e.stream_no) || ', last version ' || coalesce(max(e.stream_version), 0)
FROM peat_streams s LEFT JOIN peat_events e ON e.stream_no = s.stream_no
GROUP BY s.stream_no
HAVING count(e.stream_no) <> s.version OR coalesce(max(e.stream_version), 0) <> s.version OR coalesce(min(e.stream_version), 0) <> min(1, s.version)
UNION ALL
SELECT 'event at position ' || global_position, 'it has no stream'
FROM peat_events WHERE stream_no NOT IN (SELECT stream_no FROM peat_streams)
UNION ALL
SELECT 'stream_no ' || stream_no, 'position goes back at version ' || stream_version
FROM (SELECT stream_no, stream_version, global_position,
             lag(global_position) OVER (PARTITION BY stream_no ORDER BY stream_version) AS previous FROM peat_events)
WHERE global_position <= previous
UNION ALL
SELECT 'database', integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok'
`

func (s *SQLite) checkInvariants(t testing.TB) {
	if s.damaged {
		return
	}
	if err := s.brokenInvariants(context.Background(), t); err != nil { // the test's context is done
		t.Errorf("check invariants: %v", err)
	}
}

func (s *SQLite) brokenInvariants(ctx context.Context, t testing.TB) error {
	db, err := sql.Open("sqlite", s.Path)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(ctx, sqliteInvariants)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var where, what string
		if err := rows.Scan(&where, &what); err != nil {
			return err
		}
		t.Errorf("invariant broken in %s: %s", where, what)
	}
	return rows.Err()
}
