package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/window"
)

// errLeasesLost: the session does not hold what it has taken.
var errLeasesLost = errors.New("the session has lost its leases")

// errPooled: statements of one session end up in different ones.
var errPooled = errors.New("the session's statements reach different connections: " +
	"a connection pooler in transaction mode is in between; give a direct connection in Options.SessionURL")

// presence implements es.Session.
type presence struct {
	store  *Store
	ttl    time.Duration
	conn   *pgx.Conn
	pid    int
	held   []string
	groups []string
	news   es.News
}

// hear takes a notification. What its own store has appended, its listeners know.
func (p *presence) hear(payload string) {
	sender, kind, _ := strings.Cut(payload, " ")
	switch kind {
	case appended:
		p.news.Appended = p.news.Appended || sender != p.store.id
	case changed:
		p.news.Changed = true
	}
}

// Acquire implements [es.Session].
func (p *presence) Acquire(ctx context.Context, leases []string, most int) ([]string, error) {
	var wanted []string
	for _, name := range leases {
		if !slices.Contains(p.held, name) && !slices.Contains(wanted, name) {
			wanted = append(wanted, name)
		}
	}
	if len(wanted) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.ttl)
	defer cancel()
	rows, err := p.conn.Query(ctx, p.store.sql.acquireLeases, p.store.opts.Schema, wanted, most)
	if err != nil {
		return nil, fmt.Errorf("acquire leases: %w", err)
	}
	acquired, _, err := sorted(rows)
	if err != nil {
		return nil, fmt.Errorf("acquire leases: %w", err)
	}
	p.held = append(p.held, acquired...)
	return acquired, nil
}

// Release implements [es.Session].
func (p *presence) Release(ctx context.Context, leases []string) error {
	given := slices.DeleteFunc(slices.Clone(p.held), func(name string) bool { return !slices.Contains(leases, name) })
	if len(given) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.ttl)
	defer cancel()
	batch := &pgx.Batch{}
	var lost []string
	batch.Queue(p.store.sql.releaseLeases, p.store.opts.Schema, given).Query(func(rows pgx.Rows) (err error) {
		_, lost, err = sorted(rows)
		return err
	})
	p.store.queueChanged(batch)
	err := p.conn.SendBatch(ctx, batch).Close()
	if err == nil && len(lost) > 0 {
		err = fmt.Errorf("%w: %q", errLeasesLost, lost)
	}
	if err != nil {
		return fmt.Errorf("release leases: %w", err)
	}
	p.held = slices.DeleteFunc(p.held, func(name string) bool { return slices.Contains(given, name) })
	return nil
}

// sorted sorts leases by what a statement answers for each.
func sorted(rows pgx.Rows) (yes, no []string, err error) {
	var name string
	var ok bool
	_, err = pgx.ForEachRow(rows, []any{&name, &ok}, func() error {
		if ok {
			yes = append(yes, name)
		} else {
			no = append(no, name)
		}
		return nil
	})
	return yes, no, err
}

// Renew implements [es.Session].
func (p *presence) Renew(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, p.ttl)
	defer cancel()
	var pid int
	var held []string
	err := p.conn.QueryRow(ctx, p.store.sql.renewLeases, p.store.opts.Schema, p.held).Scan(&pid, &held)
	switch {
	case err != nil:
	case pid != p.pid:
		err = errPooled
	case len(held) < len(p.held):
		err = fmt.Errorf("%w, or %w", errLeasesLost, errPooled)
	}
	if err != nil {
		return nil, fmt.Errorf("renew leases: %w", err)
	}
	return held, nil
}

// Wait implements [es.Session]. Waiting is not being heard of: d is to be well below
// the TTL.
func (p *presence) Wait(ctx context.Context, d time.Duration) (es.News, error) {
	if p.news == (es.News{}) {
		for deadline := time.Now().Add(d); p.news == (es.News{}); {
			got, err := p.receive(ctx, time.Until(deadline))
			if err != nil {
				return es.News{}, fmt.Errorf("wait for news: %w", err)
			}
			if !got {
				break
			}
		}
	}
	news := p.news
	p.news = es.News{}
	return news, nil
}

// receive waits for one notification, of which hear is told, and reports whether one has
// come in time. A deadline leaves the connection as it is.
func (p *presence) receive(ctx context.Context, d time.Duration) (bool, error) {
	limited, cancel := context.WithTimeout(ctx, max(d, time.Microsecond))
	defer cancel()
	err := p.conn.PgConn().WaitForNotification(limited)
	switch {
	case err == nil:
		return true, nil
	case limited.Err() != nil && !p.conn.IsClosed():
		return false, nil // in time, or ctx has ended
	}
	return false, err
}

// Grown implements [es.Session].
func (p *presence) Grown(ctx context.Context, behind []es.Checkpoint) ([]bool, error) {
	if len(behind) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.ttl)
	defer cancel()
	now, err := p.now(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for new events: %w", err)
	}
	return now.Grown(behind), nil
}

// now returns a moment in the order that window.Moment.Grown wants: the position after
// the snapshot.
func (p *presence) now(ctx context.Context) (moment, error) {
	var m moment
	var snapshot string
	var standby bool
	batch := &pgx.Batch{}
	batch.Queue(p.store.sql.frontierSnapshot).QueryRow(func(row pgx.Row) error { return row.Scan(&snapshot, &standby, nil) })
	batch.Queue(p.store.sql.frontierPosition).QueryRow(func(row pgx.Row) error { return row.Scan(&m.LastPosition) })
	batch.Queue(p.store.sql.epochs).Query(m.scan)
	err := p.conn.SendBatch(ctx, batch).Close()
	if standby {
		return m, ErrStandby
	}
	if err != nil {
		return m, err
	}
	m.Snapshot, err = window.ParseSnapshot(snapshot)
	m.Epoch = m.Epochs.Current()
	return m, err
}

// Close implements [es.Session].
func (p *presence) Close(ctx context.Context) error {
	if p.conn.IsClosed() {
		return nil
	}
	// Closing the connection frees the leases, too, but nobody hears of it.
	released := p.Release(ctx, p.held)
	if err := p.conn.Close(ctx); err != nil && released == nil {
		return fmt.Errorf("close the session: %w", err)
	}
	return nil
}
