package main

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/subscribe"
)

// eachUpsert sends one upsert per event and waits for it.
var eachUpsert = projection{
	name: "projection-each", streams: 1000, events: 100_000, batch: 500, least: 25_000,
	ours: func(b *bed, see func(paid)) subscribe.Delivery {
		upsert := b.inSchema(upsertOne)
		return subscribe.Transactional(b.store, subscribe.EachIn(union, func(ctx context.Context, tx pgx.Tx, e es.Envelope[event]) error {
			p := e.Event.(paid)
			see(p)
			_, err := tx.Exec(ctx, upsert, p.Stream, p.Cents)
			return err
		}))
	},
	reference: func(ctx context.Context, b *bed, conn *pgx.Conn, page []paid, position int64) error {
		upsert := b.inSchema(upsertOne)
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			for _, p := range page {
				if _, err := tx.Exec(ctx, upsert, p.Stream, p.Cents); err != nil {
					return err
				}
			}
			_, err := tx.Exec(ctx, b.inSchema(referenceProgress), "each", position)
			return err
		})
	},
}
