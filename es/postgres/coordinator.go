package postgres

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"

	"github.com/peatlog/peat/es"
)

var _ es.Coordinator = (*Store)(nil)

// defaultTTL is how long a session that is not heard of keeps its leases.
const defaultTTL = 10 * time.Second

// OpenSession implements [es.Coordinator]. A TTL of 0 is 10 s.
//
// Leases are advisory locks of the session's connection, so holding and renewing them
// writes nothing, and the server ends them with the connection. From PostgreSQL 14 on it
// also ends a connection that is not heard of for the TTL. PostgreSQL 13 cannot: there
// a process that is stopped but not dead keeps its leases until it goes on or the
// network gives its connection up.
//
// The connection is one beside the pool, made as the pool makes them, or from
// Options.SessionURL. It must reach the server directly, or through a pooler in session
// mode.
func (s *Store) OpenSession(ctx context.Context, opts es.SessionOptions) (es.Session, error) {
	ttl := cmp.Or(opts.TTL, defaultTTL)
	if ttl < 10*time.Millisecond {
		return nil, fmt.Errorf("open a session: TTL %v is below 10 ms", ttl)
	}
	p := &presence{store: s, ttl: ttl}
	if err := p.open(ctx); err != nil {
		return nil, fmt.Errorf("open a session: %w", err)
	}
	return p, nil
}

func (p *presence) open(ctx context.Context) error {
	config, prepare, err := p.store.sessionConfig(ctx)
	if err != nil {
		return err
	}
	config.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) { p.hear(n.Payload) }
	if p.conn, err = pgx.ConnectConfig(ctx, config); err != nil {
		return err
	}
	if err := p.introduce(ctx, prepare); err != nil {
		p.conn.Close(ctx) //nolint:errcheck // the other error says more
		return err
	}
	return nil
}

// introduce sets the new connection up.
func (p *presence) introduce(ctx context.Context, prepare func(context.Context, *pgx.Conn) error) error {
	if prepare != nil {
		if err := prepare(ctx, p.conn); err != nil {
			return err
		}
	}
	ms := func(d time.Duration) string { return strconv.FormatInt(max(d.Milliseconds(), 1), 10) }
	settings := 0
	if err := p.conn.QueryRow(ctx, p.store.sql.sessionLimits, ms(p.ttl), ms(p.ttl/3)).Scan(&p.pid, &settings); err != nil {
		return err
	}
	listen := strings.Replace(p.store.sql.listen, "{channel}", pgx.Identifier{channel(p.store.opts.Schema)}.Sanitize(), 1)
	_, err := p.conn.Exec(ctx, listen)
	return err
}

// sessionConfig returns how to connect, and what to do with the new connection.
func (s *Store) sessionConfig(ctx context.Context) (*pgx.ConnConfig, func(context.Context, *pgx.Conn) error, error) {
	var config *pgx.ConnConfig
	var prepare func(context.Context, *pgx.Conn) error
	if s.opts.SessionURL != "" {
		var err error
		if config, err = pgx.ParseConfig(s.opts.SessionURL); err != nil {
			return nil, nil, err
		}
	} else {
		pool := s.pool.Config()
		config, prepare = pool.ConnConfig, pool.AfterConnect
		if pool.BeforeConnect != nil {
			if err := pool.BeforeConnect(ctx, config); err != nil {
				return nil, nil, err
			}
		}
	}
	config.RuntimeParams["application_name"] = strings.TrimSpace(config.RuntimeParams["application_name"] + " peat session")
	// Waiting ends by a deadline, which must not go to the server as a cancellation.
	config.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.DeadlineContextWatcherHandler{Conn: conn.Conn()}
	}
	return config, prepare, nil
}
