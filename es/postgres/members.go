package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// Members implements [es.Session]. A member holds the lock of its group together with
// the others.
func (p *presence) Members(ctx context.Context, groups []string) ([][]int, error) {
	ctx, cancel := context.WithTimeout(ctx, p.ttl)
	defer cancel()
	var fresh []string
	for _, g := range groups {
		if !slices.Contains(p.groups, g) {
			fresh = append(fresh, g)
		}
	}
	batch := &pgx.Batch{}
	if len(fresh) > 0 {
		batch.Queue(p.store.sql.joinGroups, p.store.opts.Schema, fresh)
		p.store.queueChanged(batch)
	}
	var members [][]int
	batch.Queue(p.store.sql.members, p.store.opts.Schema, groups).Query(func(rows pgx.Rows) (err error) {
		members, err = pgx.CollectRows(rows, pgx.RowTo[[]int])
		return err
	})
	if err := p.conn.SendBatch(ctx, batch).Close(); err != nil {
		return nil, fmt.Errorf("members of %q: %w", groups, err)
	}
	p.groups = append(p.groups, fresh...)
	return members, nil
}
