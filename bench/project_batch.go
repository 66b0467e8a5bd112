package main

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/subscribe"
)

//go:embed sql/upsert_many.sql
var upsertMany string

// projectBatch adds up a batch of 1,000 events in memory and sends one upsert, of a row
// for each of the streams in it.
func projectBatch(streams int, least float64) func(ctx context.Context, b *bed) ([]result, error) {
	return projection{
		name: fmt.Sprintf("projection-batch-%d", streams), streams: streams, events: 500_000, batch: 1000, least: least,
		ours: func(b *bed, see func(paid)) subscribe.Delivery {
			return subscribe.Transactional(b.store, subscribe.BatchIn(union, func(ctx context.Context, tx pgx.Tx, batch []es.Envelope[event]) error {
				s := newSums(len(batch))
				for _, e := range batch {
					p := e.Event.(paid)
					see(p)
					s.add(p)
				}
				return s.upsert(ctx, b, tx)
			}))
		},
		reference: func(ctx context.Context, b *bed, conn *pgx.Conn, page []paid, position int64) error {
			s := newSums(len(page))
			for _, p := range page {
				s.add(p)
			}
			return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
				if err := s.upsert(ctx, b, tx); err != nil {
					return err
				}
				_, err := tx.Exec(ctx, b.inSchema(referenceProgress), "batch", position)
				return err
			})
		},
	}.run
}

// sums are the events of a batch added up by stream, in the order of arrival.
type sums struct {
	places        map[int]int
	streams       []int32
	events, cents []int64
}

func newSums(events int) *sums { return &sums{places: make(map[int]int, events)} }

func (s *sums) add(p paid) {
	i, ok := s.places[p.Stream]
	if !ok {
		i = len(s.streams)
		s.places[p.Stream] = i
		s.streams, s.events, s.cents = append(s.streams, int32(p.Stream)), append(s.events, 0), append(s.cents, 0)
	}
	s.events[i]++
	s.cents[i] += p.Cents
}

func (s *sums) upsert(ctx context.Context, b *bed, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, b.inSchema(upsertMany), s.streams, s.events, s.cents)
	return err
}
