package main

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/subscribe"
)

// projectPipelined queues one upsert per event and sends those of a batch together.
func projectPipelined(ctx context.Context, b *bed) ([]result, error) {
	return projection{
		name: "projection-pipelined", streams: 1000, events: 200_000, batch: 500, least: 60_000,
		ours: func(b *bed, see func(paid)) subscribe.Delivery {
			upsert := b.inSchema(upsertOne)
			return subscribe.Transactional(b.store.Pipeline(), subscribe.EachIn(union, func(_ context.Context, batch *pgx.Batch, e es.Envelope[event]) error {
				p := e.Event.(paid)
				see(p)
				batch.Queue(upsert, p.Stream, p.Cents)
				return nil
			}))
		},
		// A batch outside of a transaction is one.
		reference: func(ctx context.Context, b *bed, conn *pgx.Conn, page []paid, position int64) error {
			batch, upsert := &pgx.Batch{}, b.inSchema(upsertOne)
			for _, p := range page {
				batch.Queue(upsert, p.Stream, p.Cents)
			}
			batch.Queue(b.inSchema(referenceProgress), "pipelined", position)
			return conn.SendBatch(ctx, batch).Close()
		},
	}.run(ctx, b)
}
