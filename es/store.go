package es

import (
	"context"
	"iter"

	"github.com/google/uuid"
)

// Appender adds events to streams. Safe for concurrent use.
type Appender interface {
	// Append adds all events to the end of the stream, or none, if the stream
	// meets the expectation. Without events it only checks the expectation.
	//
	// An append is repeatable, whatever was appended since: when the stream
	// holds these very events (by their ids), one after another, the result says
	// Duplicate and nothing is written. For an expected version they are looked
	// for where this append would have put them, for [Any] and [StreamExists] in
	// the whole stream. An id is in the log once: an append that would bring it there
	// again is refused with [ErrDuplicateID].
	//
	// Errors to branch on: [ErrConflict], [ErrInvalidStream], [ErrInvalidEvent],
	// [ErrDuplicateID], [ErrTooLarge], [ErrBusy]: nothing was written;
	// [ErrOutcomeUnknown]: repeat with the same ids to make sure.
	Append(ctx context.Context, stream StreamID, expected Expected, events ...EventData) (AppendResult, error)
}

// AppendResult says where the events of an append are.
type AppendResult struct {
	// Version is the version of the last event of the append, and of an append
	// without events the stream's last version.
	Version int64
	// Position is the position of the last event of the append, 0 for an
	// append without events.
	Position int64
	// Duplicate is true when the events were there already.
	Duplicate bool
}

// StreamReader reads single streams. Safe for concurrent use.
type StreamReader interface {
	// ReadStream yields the events of one stream, checked for holes. A stream
	// without events yields nothing. At most one error is yielded, as the last
	// item; [ErrCorruptStream] is one of them.
	//
	// Events are fetched a page at a time as the loop asks for them. No
	// connection or lock is held while the loop's body runs, so the body may
	// use the store, and may break at any time.
	ReadStream(ctx context.Context, stream StreamID, opts ReadOptions) iter.Seq2[Recorded, error]
}

// EventFinder finds events by their ids. Safe for concurrent use.
type EventFinder interface {
	// FindEvents returns the events that have these ids, in the order of their
	// positions. Ids that the log does not hold are left out.
	FindEvents(ctx context.Context, ids ...uuid.UUID) ([]Recorded, error)
}

// ReadOptions narrows a read. The zero value reads everything forward.
type ReadOptions struct {
	// From is the first version to yield. 0 is the beginning of the stream, or
	// the end when reading backward.
	From int64
	// Backward yields newest first.
	Backward bool
	// Limit is the largest number of events to yield, 0 for no limit.
	Limit int
}

// LogReader reads the log across streams. Safe for concurrent use.
type LogReader interface {
	// ReadAll yields the events of all streams in the order of their
	// positions. It is a scan of what is committed when each page is read: an
	// event that commits during the scan may be passed by. To follow the log
	// without losing any, use a subscription.
	//
	// Pages, connections, errors and breaks are as with ReadStream.
	ReadAll(ctx context.Context, opts ReadAllOptions) iter.Seq2[Recorded, error]
}

// ReadAllOptions narrows a scan of the log. The zero value reads everything forward.
type ReadAllOptions struct {
	// From is the first position to yield. 0 is the beginning of the log, or
	// the end when reading backward. Positions may have holes.
	From int64
	// Category keeps to the streams of one category; "" is all.
	Category string
	// Backward yields newest first.
	Backward bool
	// Limit is the largest number of events to yield, 0 for no limit.
	Limit int
}

// Snapshot is the encoded state of an aggregate at a version of its stream. It
// is a cache beside the log, never the truth.
type Snapshot struct {
	Stream StreamID
	// Version is the stream's version that the state includes, EventID the id
	// of the event there, which ties the snapshot to this very history.
	Version int64
	EventID uuid.UUID
	// Schema is the version of the state's form, chosen by the aggregate, and Form a
	// fingerprint of the state's type.
	Schema int
	Form   string
	Data   []byte
}

// Snapshotter keeps the latest snapshot of each stream. Safe for concurrent use.
type Snapshotter interface {
	// ReadSnapshot returns the stream's snapshot, and false where there is none.
	ReadSnapshot(ctx context.Context, stream StreamID) (Snapshot, bool, error)
	// WriteSnapshot keeps s, unless a snapshot of the same schema and form and of a
	// later version is there already.
	WriteSnapshot(ctx context.Context, s Snapshot) error
	// DeleteSnapshots deletes the snapshots of all streams of a category and returns how
	// many there were.
	DeleteSnapshots(ctx context.Context, category string) (int, error)
}

// Store is what every store of peat offers, inside and outside a transaction.
type Store interface {
	Appender
	StreamReader
	LogReader
	EventFinder
	Snapshotter
}

// Tx is a store inside a transaction: what it appends becomes visible, all at
// once, when the transaction commits. Like the transaction, it is to be used by
// one goroutine at a time.
type Tx interface {
	Store
	// LockStream makes every other writer of the stream wait until the
	// transaction ends, also when the stream has no events yet, and returns the
	// stream's last version. Lock several streams in the order of their printed
	// ids to keep clear of deadlocks.
	LockStream(ctx context.Context, stream StreamID) (int64, error)
	// AfterCommit runs f once the transaction is known to have committed. In
	// a transaction that the store merely joined, nobody knows: f never runs.
	AfterCommit(f func())
}

// AnyTx turns the InTx method of a store, which takes a function of the store's own
// kind of transaction, into one that takes a function of any:
//
//	inTx := es.AnyTx(store.InTx)
func AnyTx[T Tx](inTx func(ctx context.Context, f func(tx T) error) error) func(ctx context.Context, f func(tx Tx) error) error {
	return func(ctx context.Context, f func(tx Tx) error) error {
		return inTx(ctx, func(tx T) error { return f(tx) })
	}
}
