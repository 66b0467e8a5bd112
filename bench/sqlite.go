package main

import (
	"context"
	"database/sql"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/peatlog/peat/aggregate"
	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/sqlite"
)

var (
	//go:embed sql/sqlite_raw.sql
	sqliteRaw string
	//go:embed sql/sqlite_insert.sql
	sqliteInsert string
	//go:embed sql/sqlite_stream.sql
	sqliteStream string
	//go:embed sql/sqlite_page.sql
	sqlitePage string
)

// file is a log in SQLite, and the reference's table in a file of its own.
type file struct {
	folder string
	store  *sqlite.Store
	raw    *sql.DB // one connection
	insert *sql.Stmt
}

// onFile makes a scenario of one that needs a file.
func onFile(run func(ctx context.Context, b *bed, f *file) ([]result, error)) func(ctx context.Context, b *bed) ([]result, error) {
	return func(ctx context.Context, b *bed) (_ []result, err error) {
		f, err := newFile(ctx)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, f.close()) }()
		return run(ctx, b, f)
	}
}

// newFile makes both files. Both commit to the disk each time.
func newFile(ctx context.Context) (_ *file, err error) {
	f := new(file)
	if f.folder, err = os.MkdirTemp("", "peat-bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = f.close() // the first error says more
		}
	}()
	if f.store, err = sqlite.Open(ctx, filepath.Join(f.folder, "peat.db"), sqlite.Options{}); err != nil {
		return nil, err
	}
	dsn := url.URL{Scheme: "file", Path: filepath.Join(f.folder, "raw.db"), RawQuery: url.Values{
		"_txlock": {"immediate"}, "_pragma": {"journal_mode(WAL)", "synchronous(FULL)"},
	}.Encode()}
	if f.raw, err = sql.Open("sqlite", dsn.String()); err != nil {
		return nil, err
	}
	f.raw.SetMaxOpenConns(1)
	if _, err = f.raw.ExecContext(ctx, sqliteRaw); err != nil {
		return nil, err
	}
	f.insert, err = f.raw.PrepareContext(ctx, sqliteInsert)
	return f, err
}

func (f *file) close() error {
	var errs []error
	if f.store != nil {
		errs = append(errs, f.store.Close())
	}
	if f.raw != nil {
		errs = append(errs, f.raw.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(f.folder))...)
}

// execer is a statement in or outside of a transaction.
type execer interface {
	ExecContext(ctx context.Context, args ...any) (sql.Result, error)
}

func insertInto(ctx context.Context, insert execer, e paid) error {
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	_, err = insert.ExecContext(ctx, "bench-"+strconv.Itoa(e.Stream), e.Seq, id[:], e.EventType(), string(data), time.Now().UnixMicro())
	return err
}

func appendStored(ctx context.Context, store es.Appender, e paid) error {
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = store.Append(ctx, es.StreamID{Category: "bench", Key: strconv.Itoa(e.Stream)}, es.Exact(e.Seq-1), es.EventData{Type: e.EventType(), Data: data})
	return err
}

// fill writes the same events to both files, the streams taking turns.
func (f *file) fill(ctx context.Context, streams, perStream int) error {
	err := f.store.InTx(ctx, func(tx *sqlite.Tx) error {
		for seq := range perStream {
			for n := range streams {
				if err := appendStored(ctx, tx, payment(n, int64(seq)+1)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("fill the log: %w", err)
	}
	tx, err := f.raw.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // it has ended
	insert := tx.StmtContext(ctx, f.insert)
	for seq := range perStream {
		for n := range streams {
			if err := insertInto(ctx, insert, payment(n, int64(seq)+1)); err != nil {
				return err
			}
		}
	}
	return tx.Commit()
}

// selectRaw hands over the events that a reference's SELECT finds.
func (f *file) selectRaw(ctx context.Context, text string, handle func(p paid, position int64), args ...any) error {
	rows, err := f.raw.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // rows.Err says it
	var position, version, at int64
	var id, data []byte
	var eventType string
	for rows.Next() {
		if err := rows.Scan(&position, &version, &id, &eventType, &data, &at); err != nil {
			return err
		}
		e, err := union.Decode(eventType, data, false)
		if err != nil {
			return err
		}
		handle(e.(paid), position)
	}
	return rows.Err()
}

// sqliteAppend is append by so many goroutines, each to its own stream, against as many
// that insert a row, for which they have one connection, as there is one writer.
func sqliteAppend(goroutines int) func(ctx context.Context, b *bed, f *file) ([]result, error) {
	return func(ctx context.Context, b *bed, f *file) ([]result, error) {
		ourSeqs, rawSeqs := make([]int64, goroutines), make([]int64, goroutines)
		var ours, reference speed
		err := b.takeTurns(ctx, func() error {
			return ours.callFor(ctx, b, goroutines, func(ctx context.Context, n int) error {
				err := appendStored(ctx, f.store, payment(n, ourSeqs[n]+1))
				ourSeqs[n]++
				return err
			})
		}, func() error {
			return reference.callFor(ctx, b, goroutines, func(ctx context.Context, n int) error {
				rawSeqs[n]++
				return insertInto(ctx, f.insert, payment(n, rawSeqs[n]))
			})
		})
		if err != nil {
			return nil, err
		}
		r := result{Name: fmt.Sprintf("sqlite-append-%d", goroutines), Unit: "appends/s", Ours: median(ours.perSecond), Reference: median(reference.perSecond)}
		for n, want := range ourSeqs {
			var a account
			for e, err := range f.store.ReadStream(ctx, es.StreamID{Category: "bench", Key: strconv.Itoa(n)}, es.ReadOptions{}) {
				if err != nil {
					return nil, err
				}
				decoded, err := es.Decode(union, e)
				if err != nil {
					return nil, err
				}
				a.Apply(decoded.Event)
			}
			a.addTo(&r, int(want))
		}
		return []result{r.timed(ours.times).judge(goal{})}, nil
	}
}

// sqliteLoad is a load of 100 events.
func sqliteLoad(ctx context.Context, b *bed, f *file) ([]result, error) {
	streams := 1000
	if b.quick {
		streams = 100
	}
	if err := f.fill(ctx, streams, 100); err != nil {
		return nil, err
	}
	repo := aggregate.NewRepository(f.store, accounts)
	l := loads{events: 100, goroutines: 1}
	results, err := l.compare(ctx, b, func() string { return strconv.Itoa(rand.IntN(streams)) }, repo, func(ctx context.Context, key string) (*account, error) {
		a := new(account)
		return a, f.selectRaw(ctx, sqliteStream, func(p paid, _ int64) { a.Apply(p) }, "bench-"+key)
	})
	for i := range results {
		results[i].Name = "sqlite-load-100"
	}
	return results, err
}
