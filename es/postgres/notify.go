package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// notifyEvery is how often other processes are told of appends at most: each
	// notification is a transaction, and they commit one at a time.
	notifyEvery = 10 * time.Millisecond
	// notifyPatience bounds one notification. One that is lost costs a reader the
	// time up to its next poll.
	notifyPatience = 5 * time.Second
)

// The kinds of notifications. The payload is the id of the store that sends it, a
// space and the kind.
const (
	appended = "a"
	changed  = "c"
)

// Wake lets all readers know that something was appended: those of this store, which
// listen by OnAppend, and, unless Options.Silent is set, those of other processes. The
// store does so by itself; it is for appends in transactions that it knows nothing
// of, those of [Store.Join], after their commit.
func (s *Store) Wake() {
	s.listeners.Call()
	if !s.opts.Silent {
		s.notifier.ring(s.notifyAppended)
	}
}

// OnAppend implements [es.Coordinator].
func (s *Store) OnAppend(f func()) (stop func()) { return s.listeners.Add(f) }

func (s *Store) notifyAppended() {
	ctx, cancel := context.WithTimeout(context.Background(), notifyPatience)
	defer cancel()
	// The error is dropped: readers poll, too.
	s.pool.Exec(ctx, s.sql.notify, channel(s.opts.Schema), s.id+" "+appended) //nolint:errcheck // see above
}

// queueChanged lets the sessions know when the batch commits.
func (s *Store) queueChanged(batch *pgx.Batch) {
	if !s.opts.Silent {
		batch.Queue(s.sql.notify, channel(s.opts.Schema), s.id+" "+changed)
	}
}

// channel is the channel of a schema's notifications, whose name PostgreSQL does not cut.
func channel(schema string) string {
	if name := "peat " + schema; len(name) <= maxIdentifierBytes {
		return name
	}
	sum := sha256.Sum256([]byte(schema))
	return "peat " + hex.EncodeToString(sum[:16])
}

// notifier sends at once, and then at most every notifyEvery, as long as there is
// something to send: for every ring there is a send that begins after it. The zero
// value is ready.
type notifier struct {
	mu               sync.Mutex
	pending, running bool
	last             time.Time // when the last send began
}

// ring asks for a send, by a goroutine that ends when there is nothing more to send.
func (n *notifier) ring(send func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pending = true
	if !n.running {
		n.running = true
		go n.run(send)
	}
}

func (n *notifier) run(send func()) {
	for n.more() {
		send()
	}
}

// more waits until the next send is due, and reports whether there is one.
func (n *notifier) more() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.pending {
		n.running = false
		return false
	}
	if wait := notifyEvery - time.Since(n.last); wait > 0 {
		n.mu.Unlock()
		time.Sleep(wait)
		n.mu.Lock()
	}
	n.pending, n.last = false, time.Now()
	return true
}
