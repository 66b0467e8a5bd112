package views

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/peatlog/peat/es/postgres"
)

// OnPostgres returns the read models in the database of a store. The tables lie in
// the first schema of the pool's search path, which is public unless the address
// says otherwise.
func OnPostgres(store *postgres.Store, pool *pgxpool.Pool) *DB {
	return &DB{
		reads:  stdlib.OpenDBFromPool(pool),
		writes: transactor[*pgx.Batch, Tx]{store.Pipeline(), func(batch *pgx.Batch) Tx { return queue{batch} }},
		asking: transactor[pgx.Tx, AskingTx]{store, func(tx pgx.Tx) AskingTx { return postgresTx{tx} }},
		dialect: dialect{
			lock:   "SELECT pg_advisory_xact_lock(hashtextextended('peat bank views', 0))",
			exists: "SELECT count(*) FROM pg_views WHERE schemaname = current_schema() AND viewname = $1",

			segments: 4,
		},
	}
}

// queue sends statements when the handler is done.
type queue struct{ batch *pgx.Batch }

// Exec implements [Tx].
func (q queue) Exec(ctx context.Context, query string, args ...any) error {
	q.batch.Queue(inGenerationOf(ctx, query), args...)
	return nil
}

type postgresTx struct{ tx pgx.Tx }

// Exec implements [Tx].
func (t postgresTx) Exec(ctx context.Context, query string, args ...any) error {
	_, err := t.tx.Exec(ctx, inGenerationOf(ctx, query), args...)
	return err
}

// Query implements [AskingTx].
func (t postgresTx) Query(ctx context.Context, each func(Scan) error, query string, args ...any) error {
	rows, err := t.tx.Query(ctx, inGenerationOf(ctx, query), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
