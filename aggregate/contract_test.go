package aggregate_test

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/peatlog/peat/aggregate"
	"github.com/peatlog/peat/codec"
	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/estest"
	"github.com/peatlog/peat/es/postgres"
	"github.com/peatlog/peat/internal/backends"
)

// pages is more events than the first pages of a read hold.
const pages = 3000

// Rows B18, B19, B40: a stream of many pages loads on every path, with a snapshot and
// without, inside a transaction and outside. Row B22: what cannot be decoded far behind
// the first page is named.
func TestStreamOfManyPagesLoadsOnEveryPath(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		snapshotted := aggregate.NewRepository(b.Store, sums.WithSnapshots(aggregate.Snapshots{Every: 2}))
		mustSave(t, snapshotted, added{1}, added{1}) // the snapshot, with nearly all pages behind it
		full := newRepository(b.Store)
		rest := make([]event, pages-2)
		for i := range rest {
			rest[i] = added{1}
		}
		mustSave(t, full, rest...)
		onEveryPath := func(check func(path string, r *root, err error)) {
			for name, repo := range map[string]*repository{"full": full, "snapshot": snapshotted} {
				r, err := repo.Load(t.Context(), "1")
				check(name, r, err)
				err = b.InTx(t.Context(), func(tx es.Tx) error {
					r, err := repo.In(tx).Load(t.Context(), "1")
					check(name+", in a transaction", r, err)
					r, err = repo.In(tx).LoadForUpdate(t.Context(), "1")
					check(name+", for update", r, err)
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		onEveryPath(func(path string, r *root, err error) {
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			wantRoot(t, r, pages, pages)
		})
		appendRaw(t, b, "sum.added", `{"N": "many"}`)
		onEveryPath(func(path string, r *root, err error) {
			decode, ok := errors.AsType[*es.DecodeError](err)
			if r != nil || !ok || decode.Stream != stream || decode.Version != pages+1 || decode.Position == 0 || decode.Type != "sum.added" {
				t.Errorf("%s: %v, error %v; want one that names version %d", path, r, err, pages+1)
			}
		})
	})
}

// moody is an event that cannot be stored if its number is negative.
type moody struct{ N int }

func (moody) EventType() string { return "sum.moody" }
func (moody) isSumEvent()       {}
func (m moody) MarshalText() ([]byte, error) {
	if m.N < 0 {
		return nil, errors.New("negative")
	}
	return strconv.AppendInt(nil, int64(m.N), 10), nil
}

func (m *moody) UnmarshalText(text []byte) (err error) {
	m.N, err = strconv.Atoi(string(text))
	return err
}

// Row B29: an event that cannot be stored is not recorded, and neither are those after it.
// Every save says so, and nothing is written of what was recorded with it.
func TestEventThatCannotBeStoredIsNotRecorded(t *testing.T) {
	t.Parallel()
	def := aggregate.Define("sum", codec.NewUnion(
		codec.Case(func(e added) event { return e }), codec.Case(func(e moody) event { return e }),
	), newSum)
	log := backends.NewSQLite(t).Backend()
	repo := aggregate.NewRepository(log.Store, def)
	for key, save := range map[string]func(r *root) error{
		"direct": func(r *root) error { return repo.Save(t.Context(), r) },
		"in a transaction": func(r *root) error {
			return log.InTx(t.Context(), func(tx es.Tx) error { return repo.In(tx).Save(t.Context(), r) })
		},
	} {
		r, err := def.New(key)
		if err != nil {
			t.Fatal(err)
		}
		r.Record(added{2}, moody{-5}, added{3})
		r.Record(added{4})
		if !errors.Is(r.Err(), codec.ErrMalformed) || r.State().Total != 2 {
			t.Errorf("%s: recorded with error %v, total %d", key, r.Err(), r.State().Total)
		}
		if diff := cmp.Diff([]event{added{2}}, r.Pending()); diff != "" {
			t.Errorf("%s: pending (-want +got):\n%s", key, diff)
		}
		for range 2 {
			if err := save(r); !errors.Is(err, codec.ErrMalformed) {
				t.Errorf("%s: got error %v, want ErrMalformed", key, err)
			}
		}
		if _, err := repo.Load(t.Context(), key); !errors.Is(err, es.ErrStreamNotFound) {
			t.Errorf("%s: the stream: %v", key, err)
		}
	}
}

// asked counts the statements of a pool.
type asked struct{ n atomic.Int64 }

func (a *asked) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	a.n.Add(1)
	return ctx
}
func (*asked) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// Cost P11: an ordinary load is one statement.
func TestLoadIsOneStatement(t *testing.T) {
	t.Parallel()
	var a asked
	log := backends.NewPostgres(t, func(c *pgxpool.Config) {
		c.ConnConfig.Tracer, c.MaxConns = &a, 1
		c.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false } // not ours
	})
	opts := log.Options
	opts.Silent = true // nobody is to be told of the save meanwhile
	store, err := postgres.Open(t.Context(), log.Pool, opts)
	if err != nil {
		t.Fatal(err)
	}
	repo := newRepository(store)
	mustSave(t, repo, added{1}, added{2})
	wantStored(t, repo, 2, 3) // what is prepared on first use is prepared
	before := a.n.Load()
	wantStored(t, repo, 2, 3)
	if n := a.n.Load() - before; n != 1 {
		t.Errorf("%d statements, want one", n)
	}
}
