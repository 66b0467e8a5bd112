// Package postgres is the PostgreSQL store of peat, for PostgreSQL 13 and later.
//
// # Model
//
// The log lives in a schema of its own: one row per stream, one per event. All
// appends go through one SQL function, which locks the streams of a batch in
// order, compares the expected versions, and only then draws positions. Create
// or upgrade the schema with [Migrate], then [Open] the store:
//
//	pool, err := pgxpool.New(ctx, url)
//	err = postgres.Migrate(ctx, pool, postgres.Options{})
//	store, err := postgres.Open(ctx, pool, postgres.Options{})
//
// # Transactions
//
// [Store.InTx] runs several appends, reads under lock and the caller's own SQL in
// one transaction; [Store.Join] does so in a transaction that the caller runs.
//
// # Delivery
//
// [Store.Deliver] stores what a handler writes and how far its subscription has come in
// one transaction; [Store.Pipeline] does so in one round trip. Each stored progress
// names the revision that it follows, so of two readers under one name the one that was
// overtaken has its whole transaction undone, whatever it believes.
//
// Who reads is settled by leases, which are advisory locks of a connection of its own
// for each process: see [Store.OpenSession]. Holding them writes nothing. PostgreSQL 13
// cannot end a session that stands still, later versions do. Other processes hear of
// appends by NOTIFY, which is sent after the commit and at most every 10 ms; a reader
// also polls, as a notification can be lost.
//
// # Ordering
//
// Positions grow with the versions of a stream, and an event that was appended
// after another one was read has the higher position. Positions of concurrent
// transactions do not become visible in order, so reading past the highest
// position seen loses events: follow the log with a subscription.
//
// # Concurrency
//
// A Store is safe for concurrent use. Concurrent appends share transactions, at most
// two at a time (Options.Flushers), each on a connection of the pool; any other call
// uses one connection. None is held between calls. After an append, a goroutine that ends by itself
// notifies other processes, on a connection of the pool. A [Tx] belongs to one
// goroutine, and so does a session.
//
// # Errors
//
// Appends give the errors of package es. An append outside of a transaction that
// fails on the way, or whose context ends then, gives es.ErrOutcomeUnknown when it may
// have been committed all the same.
package postgres
