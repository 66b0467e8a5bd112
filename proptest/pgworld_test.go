package proptest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/postgres"
	"github.com/peatlog/peat/internal/pgtest"
	"github.com/peatlog/peat/internal/window"
)

// pgWorld is a log on a PostgreSQL server of its own, where nobody else draws ids. Each
// scope has a connection.
type pgWorld struct {
	t      testing.TB
	ctx    context.Context
	pool   *pgxpool.Pool
	log    *postgres.Store
	scopes [scopes]pgScope
	// deadlocks are the statements that are to end in one: PostgreSQL looks for a ring when
	// a statement has waited for deadlock_timeout, and that decides who has to go.
	deadlocks []deadlock
	at        int // the number of the step that is being taken
	// base is the difference between ids here and in the simulated log.
	base window.XID
}

// pgScope is a connection.
type pgScope struct {
	conn *pgx.Conn
	pid  uint32
	open bool
	done chan string // of the statement that waits, nil if none does
	// impatient tells that its deadlock_timeout is not the server's.
	impatient bool
}

// patient is far above what a statement takes that does not wait.
const patient = 30 * time.Second

// newPGWorld starts a server and makes a log there. The statements of the store can be
// changed on their way to the server; nil leaves them as they are.
func newPGWorld(t testing.TB, mangle func(sql []byte) []byte) *pgWorld {
	t.Helper()
	cluster := pgtest.NewCluster(t, pgtest.Options{Settings: map[string]string{
		"autovacuum": "off", "deadlock_timeout": "1h", // both draw lots otherwise
	}})
	config, err := pgxpool.ParseConfig(cluster.URL())
	if err != nil {
		t.Fatal(err)
	}
	if mangle != nil {
		config.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			return &mangledConn{Conn: conn, mangle: mangle}, err
		}
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	w := &pgWorld{t: t, ctx: t.Context(), pool: pool}
	if err := postgres.Migrate(w.ctx, pool, postgres.Options{}); err != nil {
		t.Fatal(err)
	}
	if w.log, err = postgres.Open(w.ctx, pool, postgres.Options{Silent: true}); err != nil {
		t.Fatal(err)
	}
	// A batch that waits fails after a time, which no script can tell.
	var function string
	if err := pool.QueryRow(w.ctx, "SELECT replace(pg_get_functiondef('peat.append_events'::regproc), '200ms', '1h')").Scan(&function); err != nil {
		t.Fatal(err)
	}
	w.exec(function)
	w.exec("CREATE TABLE effects (position bigint PRIMARY KEY, stream_id text NOT NULL, version bigint NOT NULL)")
	if _, err := w.log.Feed(w.ctx, "", es.FeedOptions{}); err != nil { // gives the server its incarnation
		t.Fatal(err)
	}
	for i := range w.scopes {
		w.connect(&w.scopes[i])
	}
	t.Cleanup(func() {
		for i := range w.scopes {
			_ = w.scopes[i].conn.Close(context.Background()) // the test's own is done
		}
	})
	return w
}

// mangledConn changes the statements that are prepared on a connection.
type mangledConn struct {
	net.Conn
	mangle  func(sql []byte) []byte
	started bool
}

// Write gets whole messages: a type, a length that counts itself, and that much. Only
// the first one, which starts the session, has no type.
func (c *mangledConn) Write(messages []byte) (int, error) {
	if !c.started {
		c.started = true
		return c.Conn.Write(messages)
	}
	var changed []byte
	for rest := messages; len(rest) > 0; {
		size := 1 + binary.BigEndian.Uint32(rest[1:])
		message := rest[:size]
		if message[0] == 'P' { // Parse
			text := c.mangle(message[5:])
			message = append(binary.BigEndian.AppendUint32([]byte{'P'}, uint32(4+len(text))), text...)
		}
		changed, rest = append(changed, message...), rest[size:]
	}
	_, err := c.Conn.Write(changed)
	return len(messages), err
}

func (w *pgWorld) exec(sql string, args ...any) {
	if _, err := w.pool.Exec(w.ctx, sql, args...); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

func (w *pgWorld) connect(sc *pgScope) {
	conn, err := pgx.ConnectConfig(w.ctx, w.pool.Config().ConnConfig)
	if err != nil {
		w.t.Fatal(err)
	}
	*sc = pgScope{conn: conn, pid: conn.PgConn().PID()}
}

// reset makes the log as good as new.
func (w *pgWorld) reset() {
	for i := range w.scopes {
		sc := &w.scopes[i]
		if sc.done != nil { // a script has ended in the middle
			_ = sc.conn.PgConn().CancelRequest(w.ctx)
			<-sc.done
			sc.done = nil
		}
		if sc.conn.PgConn().TxStatus() != 'I' {
			if _, err := sc.conn.Exec(w.ctx, "ROLLBACK"); err != nil {
				w.connect(sc)
			}
		}
		sc.open = false
	}
	w.exec(`TRUNCATE peat.streams, peat.events, peat.subscriptions, peat.parked, effects RESTART IDENTITY`)
	var next int64
	if err := w.pool.QueryRow(w.ctx, "SELECT age('3'::xid)::bigint + 3").Scan(&next); err != nil {
		w.t.Fatal(err)
	}
	w.base = window.XID(next) - firstXID
}

func (w *pgWorld) stop()             {}
func (w *pgWorld) idle(who int) bool { return !w.scopes[who].open }
func (w *pgWorld) busy(who int) bool { return w.scopes[who].done != nil }
func (w *pgWorld) crash(int)         { panic("scripts for a real server have no crash") }

func (w *pgWorld) execute(s step, batch []es.Prepared) (string, bool) {
	sc := &w.scopes[s.who]
	doomed := slices.ContainsFunc(w.deadlocks, func(d deadlock) bool { return d.who == s.who && d.began == w.at })
	if doomed || sc.impatient {
		sc.impatient = true
		if _, err := sc.conn.Exec(w.ctx, "SET deadlock_timeout = '"+map[bool]string{true: "1ms", false: "1h"}[doomed]+"'"); err != nil && !failedTransaction(err) {
			w.t.Fatal(err)
		}
	}
	done := make(chan string, 1)
	go func() { done <- w.statement(sc, s, batch) }()
	sc.done = done
	if came, ok := w.await(s.who); ok {
		return came, false
	}
	if doomed { // but later: this time there is no ring, and it has to have looked by then
		time.Sleep(20 * time.Millisecond)
	}
	return "", true
}

// await returns what came of a statement, or false if it waits for a lock. It looks
// until it is one or the other.
func (w *pgWorld) await(who int) (string, bool) {
	sc := &w.scopes[who]
	doomed := slices.ContainsFunc(w.deadlocks, func(d deadlock) bool { return d.who == who && d.ended == w.at })
	for begun := time.Now(); ; {
		select {
		case came := <-sc.done:
			sc.done = nil
			return came, true
		case <-time.After(200 * time.Microsecond):
		}
		if !doomed && w.waitsForLock(sc.pid) {
			return "", false
		}
		if time.Since(begun) > patient {
			w.t.Fatalf("scope %d is neither done nor does it wait for a lock", who+1)
		}
	}
}

// waitsForLock asks the server whether a process waits for another transaction.
func (w *pgWorld) waitsForLock(pid uint32) (waits bool) {
	err := w.pool.QueryRow(w.ctx, `SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted AND locktype IN ('transactionid', 'tuple'))
		AND cardinality(pg_blocking_pids($1)) > 0`, pid).Scan(&waits)
	if err != nil {
		w.t.Fatal(err)
	}
	return waits
}

func (w *pgWorld) settle() map[int]string {
	done := map[int]string{}
	for again := true; again; {
		again = false
		for who := range w.scopes {
			if w.scopes[who].done == nil {
				continue
			}
			if came, ok := w.await(who); ok {
				done[who], again = came, true
			}
		}
	}
	return done
}

// statement runs a statement on the scope's connection and says what came of it.
func (w *pgWorld) statement(sc *pgScope, s step, batch []es.Prepared) string {
	if s.op == opAppend {
		outcomes, err := appendEvents(w.ctx, sc.conn, batch)
		if err != nil {
			return pgFailure(err)
		}
		return answer(outcomes)
	}
	sql := map[op]string{
		opBegin: "BEGIN", opTouch: "SELECT pg_current_xact_id()", opSavepoint: "SAVEPOINT s", opRollbackTo: "ROLLBACK TO s",
		opCommit: "COMMIT", opCommitAsync: "COMMIT", opRollback: "ROLLBACK",
	}[s.op]
	if s.op == opCommitAsync && sc.conn.PgConn().TxStatus() == 'T' {
		if _, err := sc.conn.Exec(w.ctx, "SET LOCAL synchronous_commit = off"); err != nil {
			return pgFailure(err)
		}
	}
	tag, err := sc.conn.Exec(w.ctx, sql)
	switch sc.open = sc.conn.PgConn().TxStatus() != 'I'; {
	case err != nil:
		return pgFailure(err)
	case sql == "COMMIT" && tag.String() == "ROLLBACK":
		return failure(errFailed)
	}
	return ""
}

func failedTransaction(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pgErr.Code == "25P02"
}

// pgFailure names an error of the server as failure does.
func pgFailure(err error) string {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && pgErr.Code == "40P01" {
		return "deadlock"
	}
	if failedTransaction(err) {
		return failure(errFailed)
	}
	return err.Error()
}

// appendEvents appends a batch with the function that es/postgres takes.
func appendEvents(ctx context.Context, conn *pgx.Conn, batch []es.Prepared) ([]outcome, error) {
	var streamIDs, ids, types, data []string
	var expected []int64
	var last []*string
	var firsts, counts []int32
	var search []bool
	var blobs [][]byte
	var metadata []*string
	for _, p := range batch {
		streamIDs, expected = append(streamIDs, p.Stream.String()), append(expected, p.Expected.Number())
		last = append(last, nil)
		firsts, counts, search = append(firsts, int32(len(ids)+1)), append(counts, int32(len(p.Events))), append(search, false)
		for _, e := range p.Events {
			ids, types = append(ids, e.ID.String()), append(types, e.Type)
			data, blobs, metadata = append(data, string(e.Data)), append(blobs, nil), append(metadata, nil)
		}
	}
	sql, args := `SELECT item, outcome, version, "position" FROM peat.append_events($1, $2, $3::uuid[], $4, $5, $6, $7::uuid[], $8, $9, $10, $11)`,
		[]any{streamIDs, expected, last, firsts, counts, search, ids, types, data, blobs, metadata}
	if len(batch) == 1 && len(ids) == 1 {
		sql, args = `SELECT 1, outcome, version, "position" FROM peat.append_event($1, $2, NULL, $3::uuid, $4, $5, NULL, NULL)`,
			[]any{streamIDs[0], expected[0], ids[0], types[0], data[0]}
	}
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	outcomes := make([]outcome, len(batch))
	var item int
	var kind string
	var o outcome
	_, err = pgx.ForEachRow(rows, []any{&item, &kind, &o.version, &o.position}, func() error {
		o.written, o.duplicate = kind == "written", kind == "duplicate"
		outcomes[item-1] = o
		return nil
	})
	return outcomes, err
}

func (w *pgWorld) feed(r *playReader, opts es.FeedOptions, _ func(string)) (es.Batch, error) {
	return w.log.Feed(w.ctx, r.next, opts)
}

func (w *pgWorld) claim(subscription, holder string) (es.Checkpoint, int64, error) {
	return w.log.ClaimCheckpoint(w.ctx, subscription, holder)
}

func (w *pgWorld) store(p es.Progress, effects []es.Failure, anew bool) error {
	if len(effects) == 0 && !anew {
		return w.log.SaveProgress(w.ctx, p)
	}
	return w.log.Deliver(w.ctx, func(tx pgx.Tx) error {
		if anew {
			if _, err := tx.Exec(w.ctx, "DELETE FROM effects"); err != nil {
				return err
			}
		}
		for _, e := range effects {
			if _, err := tx.Exec(w.ctx, "INSERT INTO effects VALUES ($1, $2, $3)", e.Position, e.Stream.String(), e.Version); err != nil {
				return err
			}
		}
		return nil
	}, p)
}

func (w *pgWorld) parked(subscription string) []es.Parked {
	all, err := w.log.Parked(w.ctx, subscription)
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// state is what a script leaves behind, as text: all that is in the log, with ids and
// positions, and where the readers stand.
func (w *pgWorld) state(p *play) string {
	rows, err := w.pool.Query(w.ctx, `SELECT e.global_position, e.stream_id, e.stream_version, e.transaction_id::text::bigint,
		coalesce(e.held_until::text::bigint, 0), e.event_id::text, e.stream_no FROM peat.events e ORDER BY e.global_position`)
	if err != nil {
		w.t.Fatal(err)
	}
	var b strings.Builder
	var position, version, xid, held, number int64
	var stream, id string
	_, err = pgx.ForEachRow(rows, []any{&position, &stream, &version, &xid, &held, &id, &number}, func() error {
		if held > 0 {
			held -= int64(w.base)
		}
		b.WriteString(eventLine(position, stream, version, xid-int64(w.base), held, id, number))
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	rows, err = w.pool.Query(w.ctx, "SELECT position, stream_id, version FROM effects ORDER BY position")
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = pgx.ForEachRow(rows, []any{&position, &stream, &version}, func() error {
		fmt.Fprintf(&b, "effect of %s version %d at %d\n", stream, version, position)
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return b.String() + p.places(w.base)
}

func eventLine(position int64, stream string, version, xid, held int64, id string, number int64) string {
	return fmt.Sprintf("%3d %s version %d of transaction %d, held until %d, %s, stream number %d\n", position, stream, version, xid, held, id, number)
}

// state is the same of the simulated log.
func (w *simWorld) state(p *play) string {
	var b strings.Builder
	for _, e := range w.log(es.Filter{}) {
		b.WriteString(eventLine(e.Row.Position, e.Stream.String(), e.Version, int64(e.XID), int64(e.HeldUntil), e.ID.String(), e.stream))
	}
	for _, key := range w.effects.keys(nil) {
		e, _ := w.effects.get(nil, key)
		fmt.Fprintf(&b, "effect of %s version %d at %d\n", e.Stream, e.Version, e.Position)
	}
	return b.String() + p.places(0)
}

// places are where the readers stand, with all ids less base.
func (p *play) places(base window.XID) string {
	var b strings.Builder
	for _, r := range p.readers {
		fmt.Fprintf(&b, "reader %s stands at %s and got", r.name, standing(r.next, base))
		for _, d := range r.got {
			fmt.Fprintf(&b, " %s/%d", d.stream, d.version)
		}
		for _, f := range p.on.parked(r.name) {
			fmt.Fprintf(&b, ", parked %s/%d", f.Stream, f.Version)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// standing is a checkpoint as text, with all ids less base.
func standing(cp es.Checkpoint, base window.XID) string {
	if cp == "" {
		return "the beginning"
	}
	c, err := window.Parse(cp)
	if err != nil {
		return err.Error()
	}
	text := "from " + moment(c.From, base)
	if c.To != nil {
		text += " to " + moment(*c.To, base) + " up to " + strconv.FormatInt(c.Position, 10)
	}
	return text
}

func moment(f window.Frontier, base window.XID) string {
	if f.Next == window.FirstXID {
		return "the beginning"
	}
	s := f.Snapshot
	s.Xmin, s.Xmax, s.Running = s.Xmin-base, s.Xmax-base, slices.Clone(s.Running)
	for i := range s.Running {
		s.Running[i] -= base
	}
	return fmt.Sprintf("%s next %d position %d", s, f.Next-base, f.LastPosition)
}
