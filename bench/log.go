package main

import (
	"context"
	_ "embed"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/codec"
)

// event is what the logs of the scenarios hold.
type event interface {
	EventType() string
	isEvent()
}

// paid is about 100 bytes of JSON. It names its own stream and version, so that a
// delivery can be checked without looking at anything else.
type paid struct {
	Stream int    `json:"stream"`
	Seq    int64  `json:"seq"`
	Cents  int64  `json:"cents"`
	From   string `json:"from"`
	Note   string `json:"note"`
}

func (paid) EventType() string { return "bench.paid" }
func (paid) isEvent()          {}

var union = codec.NewUnion(codec.Case(func(e paid) event { return e }))

var (
	//go:embed sql/fill_streams.sql
	fillStreams string
	//go:embed sql/fill_events.sql
	fillEvents string
	//go:embed sql/raw_select.sql
	rawSelect string
)

// inSchema puts the bed's schema into a statement.
func (b *bed) inSchema(sql string) string { return strings.ReplaceAll(sql, "{schema}", b.schema) }

// fill writes perStream events to each of so many streams, as the append function
// would leave them, but in one transaction: a million events in seconds. The
// streams take turns, so that neighbours in the log are of different streams.
func (b *bed) fill(ctx context.Context, streams, perStream int) error {
	err := pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, b.inSchema(fillStreams), streams, perStream); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, b.inSchema(fillEvents))
		return err
	})
	if err != nil {
		return fmt.Errorf("fill the log: %w", err)
	}
	// Autovacuum would do this soon; now it cannot come in the middle of a round.
	if _, err := b.pool.Exec(ctx, b.inSchema("VACUUM (ANALYZE) {schema}.streams, {schema}.events")); err != nil {
		return fmt.Errorf("analyze the log: %w", err)
	}
	return nil
}
