package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/peatlog/peat/es"
)

var _ es.GenerationStore = (*Store)(nil)

// Generations implements [es.GenerationStore].
func (s *Store) Generations(ctx context.Context, name string, segments int) (es.Generations, error) {
	g, err := s.generations(ctx, name)
	if errors.Is(err, sql.ErrNoRows) {
		err = s.change(ctx, func(ctx context.Context, in *session) (err error) {
			if err := in.firstGeneration(ctx, name, segments); err != nil {
				return err
			}
			g, err = in.generations(ctx, name)
			return err
		})
	}
	if err != nil {
		return es.Generations{}, fmt.Errorf("generations of %q: %w", name, err)
	}
	return g, nil
}

// BeginRebuild implements [es.GenerationStore]. A projection that has no generation
// yet gets its first as well. The sessions of this Store hear of it.
func (s *Store) BeginRebuild(ctx context.Context, name string, segments int, keep bool) (g es.Generations, err error) {
	err = s.change(ctx, func(ctx context.Context, in *session) error {
		if err := in.firstGeneration(ctx, name, segments); err != nil {
			return err
		}
		n, err := in.exec(ctx, in.sql.beginRebuild, name, max(segments, 1), keep)
		if err != nil {
			return err
		}
		if n == 0 {
			return es.ErrRebuilding
		}
		g, err = in.generations(ctx, name)
		return err
	})
	if err != nil {
		return es.Generations{}, fmt.Errorf("rebuild %q: %w", name, err)
	}
	s.leases.changed()
	return g, nil
}

// CancelRebuild implements [es.GenerationStore]. The sessions of this Store hear of
// it.
func (s *Store) CancelRebuild(ctx context.Context, t es.TakeOver) error {
	err := s.change(ctx, func(ctx context.Context, in *session) error {
		n, err := in.exec(ctx, in.sql.cancelRebuild, t.Name, t.To)
		if err != nil {
			return err
		}
		if n == 0 {
			return es.ErrNotRebuilding
		}
		return in.forget(ctx, t.Next)
	})
	if err != nil {
		return fmt.Errorf("cancel generation %d of %q: %w", t.To, t.Name, statementError(err))
	}
	s.leases.changed()
	return nil
}

// generations reads those of a projection, and answers sql.ErrNoRows where it has none.
func (s *session) generations(ctx context.Context, name string) (g es.Generations, err error) {
	var since int64
	err = queryRow(ctx, s.db, s.sql.generations, []any{name}, &g.Live, &g.Segments, &g.Building, &g.BuildingSegments, &g.Keep, &since)
	g.Since = moment(since)
	return g, statementError(err)
}

func (s *session) firstGeneration(ctx context.Context, name string, segments int) error {
	_, err := s.exec(ctx, s.sql.firstGeneration, name, max(segments, 1), time.Now().UnixMicro())
	return err
}

// Switch implements [es.GenerationStore].
func (s *Store) Switch(ctx context.Context, t es.TakeOver, f func() error) (bool, error) {
	return s.TakeOver(ctx, t, func(*sql.Tx) error { return f() })
}
