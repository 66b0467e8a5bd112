package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/es"
)

var _ es.GenerationStore = (*Store)(nil)

// Generations implements [es.GenerationStore].
func (s *Store) Generations(ctx context.Context, name string, segments int) (es.Generations, error) {
	g, err := scanGenerations(s.db.QueryRow(ctx, s.sql.generations, name))
	if errors.Is(err, pgx.ErrNoRows) {
		// A statement of its own: it waits for whoever is doing the same, and the
		// next one sees what came of it.
		if _, err = s.pool.Exec(ctx, s.sql.firstGeneration, name, max(segments, 1)); err == nil {
			g, err = scanGenerations(s.db.QueryRow(ctx, s.sql.generations, name))
		}
	}
	if err != nil {
		return g, fmt.Errorf("generations of projection %q: %w", name, statementError(err))
	}
	return g, nil
}

// BeginRebuild implements [es.GenerationStore].
func (s *Store) BeginRebuild(ctx context.Context, name string, segments int, keep bool) (es.Generations, error) {
	var g es.Generations
	batch := &pgx.Batch{}
	batch.Queue(s.sql.beginRebuild, name, max(segments, 1), keep).QueryRow(func(row pgx.Row) (err error) {
		g, err = scanGenerations(row)
		return err
	})
	s.queueChanged(batch)
	err := s.pool.SendBatch(ctx, batch).Close()
	if errors.Is(err, pgx.ErrNoRows) {
		err = es.ErrRebuilding
	}
	if err != nil {
		return es.Generations{}, fmt.Errorf("rebuild projection %q: %w", name, statementError(err))
	}
	return g, nil
}

// CancelRebuild implements [es.GenerationStore]. It waits for the segments' deliveries
// under way, and gives es.ErrBusy when that takes long.
func (s *Store) CancelRebuild(ctx context.Context, t es.TakeOver) error {
	err := s.within(ctx, begin, func(tx pgx.Tx) error {
		if err := s.limitLocks(ctx, tx, takeOverPatience); err != nil {
			return err
		}
		var name string
		err := tx.QueryRow(ctx, s.sql.cancelRebuild, t.Name, t.To).Scan(&name)
		if errors.Is(err, pgx.ErrNoRows) {
			return es.ErrNotRebuilding
		}
		if err != nil {
			return err
		}
		batch := &pgx.Batch{}
		batch.Queue(s.sql.lockSubscriptions, t.Next) // in the order of everybody else
		batch.Queue(s.sql.forgetSubscriptions, t.Next)
		s.queueChanged(batch)
		return tx.SendBatch(ctx, batch).Close()
	})
	if err != nil {
		return fmt.Errorf("cancel the rebuild of projection %q: %w", t.Name, statementError(err))
	}
	return nil
}

// Switch implements [es.GenerationStore].
func (s *Store) Switch(ctx context.Context, t es.TakeOver, f func() error) (bool, error) {
	return s.TakeOver(ctx, t, func(pgx.Tx) error { return f() })
}

func scanGenerations(row pgx.Row) (g es.Generations, err error) {
	err = row.Scan(&g.Live, &g.Segments, &g.Building, &g.BuildingSegments, &g.Keep, &g.Since)
	return g, err
}
