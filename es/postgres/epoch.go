package postgres

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/window"
)

// Adopt takes over a log that was moved here from another cluster, by dump and
// restore or by logical replication, after [Open] has refused it with
// es.ErrForeignEpoch: its transaction ids mean nothing here, and those of new events
// would be taken for older ones.
//
// It opens a new epoch behind the newest event, in a time that does not depend on
// the size of the log. Nothing that is stored is changed: a checkpoint of before the
// move first finishes the old epoch and goes on in the new one. It waits for appends
// under way, up to LockTimeout (then es.ErrBusy), and does nothing if the log is at
// home here.
//
// A restore of a dump into a cluster whose transaction ids are higher already,
// pg_upgrade and a physical restore need no Adopt.
func Adopt(ctx context.Context, pool *pgxpool.Pool, opts Options) error {
	opts, err := opts.withDefaults()
	if err != nil {
		return err
	}
	q := newQueries(opts.Schema)
	s := &session{sql: q, opts: opts}
	if err := checkSchema(ctx, pool, q); err != nil {
		return fmt.Errorf("adopt: %w", err)
	}
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		timeout := strconv.FormatInt(opts.LockTimeout.Milliseconds(), 10)
		if _, err := tx.Exec(ctx, "SELECT set_config('lock_timeout', $1, true)", timeout); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, q.lockLog); err != nil {
			return err
		}
		foreign, err := s.foreign(ctx, tx)
		if err != nil || foreign == nil {
			return err
		}
		_, err = tx.Exec(ctx, q.openEpoch)
		return err
	})
	if err != nil {
		return fmt.Errorf("adopt: %w", statementError(err))
	}
	return nil
}

// foreign returns an error that says why the log comes from another cluster, nil if
// it does not. The log is read first: what it knows was given out by then.
func (s *session) foreign(ctx context.Context, db querier) (foreign, err error) {
	behind := false
	if err := db.QueryRow(ctx, s.sql.sequenceBehind).Scan(&behind); err != nil {
		return nil, err
	}
	if behind {
		return fmt.Errorf("%w: the sequence of positions is behind the events; if the log was moved here, run postgres.Adopt once", es.ErrForeignEpoch), nil
	}
	var text *string
	rows, err := db.Query(ctx, s.sql.newestXID)
	if err != nil {
		return nil, err
	}
	if _, err := pgx.ForEachRow(rows, []any{&text}, func() error { return nil }); err != nil || text == nil {
		return nil, err
	}
	newest, err := strconv.ParseUint(*text, 10, 64)
	if err != nil {
		return nil, err
	}
	next, err := s.nextXID(ctx, db)
	if err != nil || window.XID(newest) < next {
		return nil, err
	}
	return fmt.Errorf("%w: the log knows transaction %d, the next one here is %d; if the log was moved here, run postgres.Adopt once",
		es.ErrForeignEpoch, newest, next), nil
}

// nextXID returns the next transaction id of the cluster. db must not be in a
// transaction that has asked for it before or has an id of its own.
func (s *session) nextXID(ctx context.Context, db querier) (window.XID, error) {
	var text string
	var standby bool
	var low int64
	if err := db.QueryRow(ctx, s.sql.frontierSnapshot).Scan(&text, &standby, nil); err != nil {
		return 0, err
	}
	if err := db.QueryRow(ctx, s.sql.frontierNext).Scan(&low); err != nil {
		return 0, err
	}
	snapshot, err := window.ParseSnapshot(text)
	return snapshot.Next(uint32(low)), err
}

// Pins implements [es.Pinner]. What others run is only shown to a superuser or a
// member of pg_read_all_stats.
func (s *Store) Pins(ctx context.Context) ([]es.Pin, error) {
	rows, err := s.db.Query(ctx, s.sql.pins)
	if err != nil {
		return nil, fmt.Errorf("look for open transactions: %w", err)
	}
	pins, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p es.Pin, err error) {
		var seconds float64
		err = row.Scan(&p.PID, &p.Prepared, &p.User, &p.Database, &p.Application, &p.Query, &seconds)
		p.Age = time.Duration(seconds * float64(time.Second))
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("look for open transactions: %w", err)
	}
	return pins, nil
}
