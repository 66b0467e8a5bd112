package sqlite_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/estest"
	"github.com/peatlog/peat/es/sqlite"
	_ "modernc.org/sqlite"
)

func conf(path func(t *testing.T) string) func(t *testing.T) {
	return func(t *testing.T) {
		estest.Run(t, func(t *testing.T) estest.Backend {
			p := path(t)
			o := sqlite.Options{MaxEventBytes: estest.MaxEventBytes}
			s, err := sqlite.Open(t.Context(), p, o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			return estest.Backend{
				Store: s,
				InTx: func(ctx context.Context, f func(es.Tx) error) error {
					return s.InTx(ctx, func(tx *sqlite.Tx) error { return f(tx) })
				},
				Reopen: func(ctx context.Context) (es.Store, error) {
					if p == ":memory:" {
						return s, nil
					}
					s2, err := sqlite.Open(ctx, p, o)
					if err == nil {
						t.Cleanup(func() { s2.Close() })
					}
					return s2, err
				},
				DeleteEvent: func(ctx context.Context, id es.StreamID, v int64) error {
					return s.InTx(ctx, func(tx *sqlite.Tx) error {
						_, err := tx.SQL().Exec("DELETE FROM peat_events WHERE stream_no = (SELECT stream_no FROM peat_streams WHERE stream_id = ?) AND stream_version = ?", id.String(), v)
						return err
					})
				},
			}
		})
	}
}

var _ *sql.DB

func TestZZ(t *testing.T) {
	t.Run("file", conf(func(t *testing.T) string { return filepath.Join(t.TempDir(), "x.db") }))
	t.Run("memory", conf(func(t *testing.T) string { return ":memory:" }))
}
