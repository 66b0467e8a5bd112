package backends

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/estest"
	"github.com/peatlog/peat/es/postgres"
	"github.com/peatlog/peat/internal/pgtest"
)

// Postgres is a log in a schema of its own, on the server of the tests.
type Postgres struct {
	Store   *postgres.Store
	Pool    *pgxpool.Pool
	Options postgres.Options

	damaged bool
}

// NewPostgres returns an empty log. Its schema is dropped when the test ends.
func NewPostgres(t testing.TB, configure ...func(*pgxpool.Config)) *Postgres {
	t.Helper()
	return NewPostgresWith(t, postgres.Options{}, configure...)
}

// NewPostgresWith is NewPostgres with options of the store. The schema and the limit
// of an event are set here.
func NewPostgresWith(t testing.TB, opts postgres.Options, configure ...func(*pgxpool.Config)) *Postgres {
	t.Helper()
	opts.Schema, opts.MaxEventBytes = pgtest.NewSchema(t), estest.MaxEventBytes
	p := &Postgres{Pool: pgtest.NewPool(t, configure...), Options: opts}
	var err error
	if p.Store, err = p.reopen(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.checkInvariants(t) })
	return p
}

func (p *Postgres) reopen(ctx context.Context) (*postgres.Store, error) {
	if err := postgres.Migrate(ctx, p.Pool, p.Options); err != nil {
		return nil, err
	}
	return postgres.Open(ctx, p.Pool, p.Options)
}

// Damaged tells that the test has edited the log by hand, so that its invariants
// are not to be checked.
func (p *Postgres) Damaged() { p.damaged = true }

// Table returns the qualified name of one of the log's tables.
func (p *Postgres) Table(name string) string {
	return pgx.Identifier{p.Options.Schema, name}.Sanitize()
}

// Backend returns the log as the conformance suite wants it.
func (p *Postgres) Backend() estest.Backend {
	store := p.delivery()
	return estest.Backend{
		Store:  store,
		InTx:   es.AnyTx(p.Store.InTx),
		Reopen: func(ctx context.Context) (es.Store, error) { return p.reopen(ctx) },
		DeleteEvent: func(ctx context.Context, stream es.StreamID, version int64) error {
			p.damaged = true
			tag, err := p.Pool.Exec(ctx, "DELETE FROM "+p.Table("events")+" WHERE stream_id = $1 AND stream_version = $2", stream.String(), version)
			if err == nil && tag.RowsAffected() != 1 {
				err = fmt.Errorf("deleted %d events", tag.RowsAffected())
			}
			return err
		},
		Deliver: func(ctx context.Context, f func(tx es.Tx) error, progress es.Progress) error {
			return store.Deliver(ctx, func(tx pgx.Tx) error { return f(p.Store.Join(tx)) }, progress)
		},
		TakeOver: func(ctx context.Context, t es.TakeOver, f func(tx es.Tx) error) (bool, error) {
			if f == nil {
				return store.TakeOver(ctx, t, nil)
			}
			return store.TakeOver(ctx, t, func(tx pgx.Tx) error { return f(p.Store.Join(tx)) })
		},
		Forget: func(ctx context.Context, subscription string) error {
			_, err := p.Pool.Exec(ctx, "DELETE FROM "+p.Table("subscriptions")+" WHERE name = $1", subscription)
			return err
		},
	}
}

// postgresDelivery is what the suite needs of the store.
type postgresDelivery interface {
	estest.Store
	es.Transactor[pgx.Tx]
}

// delivery returns the store as what the suite needs. It is asked at run time, so
// that this compiles before the store has all of it; then p.Store itself will do.
func (p *Postgres) delivery() postgresDelivery { return any(p.Store).(postgresDelivery) }

// postgresInvariants finds the streams that are not as every append leaves them.
const postgresInvariants = `
SELECT s.stream_id, 'version ' || s.version || ', events ' || e.n || ', versions ' || e.first || ' to ' || e.last
FROM streams s
LEFT JOIN LATERAL (
    SELECT count(*) AS n, coalesce(min(stream_version), 0) AS first, coalesce(max(stream_version), 0) AS last
    FROM events WHERE stream_no = s.stream_no) e ON true
WHERE NOT (e.n = s.version AND e.last = s.version AND e.first = least(1, s.version))
UNION ALL
SELECT e.stream_id, 'event without its stream, version ' || e.stream_version
FROM events e LEFT JOIN streams s ON s.stream_no = e.stream_no AND s.stream_id = e.stream_id AND s.category = e.category
WHERE s.stream_no IS NULL
UNION ALL
SELECT stream_id, 'position goes back at version ' || stream_version
FROM (SELECT stream_id, stream_version, global_position,
             lag(global_position) OVER (PARTITION BY stream_no ORDER BY stream_version) AS previous FROM events) e
WHERE global_position <= previous
UNION ALL
SELECT stream_id, 'held_until is not the key of the version before ' || stream_version
FROM (SELECT stream_id, stream_version, transaction_id, held_until,
             lag(coalesce(held_until, transaction_id)) OVER (PARTITION BY stream_no ORDER BY stream_version) AS previous FROM events) e
WHERE held_until IS DISTINCT FROM CASE WHEN previous > transaction_id THEN previous END
UNION ALL
SELECT s.stream_id, 'last_xid is not the key of the last event'
FROM streams s JOIN events e ON e.stream_no = s.stream_no AND e.stream_version = s.version
WHERE s.last_xid <> coalesce(e.held_until, e.transaction_id)
`

func (p *Postgres) checkInvariants(t testing.TB) {
	if p.damaged {
		return
	}
	ctx := context.Background() // the test's own is done
	sql := strings.NewReplacer("FROM streams", "FROM "+p.Table("streams"), "JOIN streams", "JOIN "+p.Table("streams"),
		"FROM events", "FROM "+p.Table("events"), "JOIN events", "JOIN "+p.Table("events")).Replace(postgresInvariants)
	rows, err := p.Pool.Query(ctx, sql)
	if err != nil {
		t.Errorf("check invariants: %v", err)
		return
	}
	var stream, what string
	_, err = pgx.ForEachRow(rows, []any{&stream, &what}, func() error {
		t.Errorf("invariant broken in %s: %s", stream, what)
		return nil
	})
	if err != nil {
		t.Errorf("check invariants: %v", err)
	}
}
