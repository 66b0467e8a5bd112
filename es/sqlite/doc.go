// Package sqlite is the store of peat in one SQLite file: no server, no cgo, the
// same contract as the PostgreSQL store.
//
// # Model
//
// [Open] creates the file and brings its schema up to date:
//
//	store, err := sqlite.Open(ctx, "bank.db", sqlite.Options{})
//	defer store.Close()
//
// The tables of the log begin with peat_; the application may keep its own tables
// in the same file. [Store.InTx] runs appends, reads and the application's own SQL
// in one transaction; [Store.Join] does so in one that the caller runs.
//
// # Durability
//
// An append that was acknowledged survives the loss of power: the file has a
// write-ahead log that each commit syncs. The process may be killed at any moment;
// the next Open finds every acknowledged append, and of others all events or none.
// [Options].Relaxed gives up the first for speed. To copy a file in use, copy it
// with VACUUM INTO, never with the tools of the file system.
//
// # Ordering
//
// One transaction writes at a time, so the order of positions is the order of the
// commits: a reader that has seen a position has missed nothing before it.
//
// # Delivery
//
// [Store.Deliver] runs what a handler does in the transaction that stores its
// progress. The leases of [Store.OpenSession] are kept in the memory of one Store:
// the readers of a file are meant to run in one process, on one Store. Should two
// work all the same, the revision of a claim keeps them apart. What other processes
// append, nobody tells a Store; its readers have to look from time to time.
//
// # Concurrency
//
// A Store is safe for concurrent use; a [Tx] belongs to one goroutine. Concurrent
// appends of a process share a commit, without waiting for each other. Readers
// wait for nobody, not even for a transaction that is under way, and see what was
// committed before they began.
//
// Several processes of one machine may have the file open and write to it. They
// take turns; each waits up to [Options].BusyTimeout for the lock. The file must
// not be on a network file system.
//
// POSIX drops the locks of a process on a file when the process closes any
// descriptor of it. A program that opens the database file by other means, even
// to look at it, must not do so while its store is open.
//
// # Errors
//
// Appends give the errors of package es. es.ErrBusy says that the write lock was
// taken for too long, and that repeating is safe. es.ErrOutcomeUnknown comes only
// from a disk that fails during a commit.
package sqlite
