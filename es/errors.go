package es

import (
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// Errors about what a caller asked for. Nothing was written.
var (
	// ErrConflict: the stream is not at the expected version. See [*ConflictError].
	ErrConflict = errors.New("version conflict")
	// ErrInvalidStream: a stream id that no store takes.
	ErrInvalidStream = errors.New("invalid stream id")
	// ErrInvalidEvent: an event or append that no store takes.
	ErrInvalidEvent = errors.New("invalid event")
	// ErrTooLarge: an event is over the store's limit. See [*TooLargeError].
	ErrTooLarge = errors.New("event too large")
	// ErrDuplicateID: the log holds an event of this id, and it is not the one that is
	// appended. An id is in the log once.
	ErrDuplicateID = errors.New("event id already in the log")
	// ErrCommandReused: the id of a command stands for another command already, one with
	// another fingerprint or one that was executed on the same stream in the same context.
	ErrCommandReused = errors.New("command id reused")
	// ErrStreamNotFound: the stream has no events.
	ErrStreamNotFound = errors.New("stream not found")
)

// Errors about what the store holds.
var (
	// ErrCorruptStream: a stream has a hole. See [*CorruptStreamError].
	ErrCorruptStream = errors.New("corrupt stream")
	// ErrDecode: a stored event cannot be decoded. See [*DecodeError].
	ErrDecode = errors.New("undecodable event")
)

// Errors about the way to the store.
var (
	// ErrOutcomeUnknown: the connection was lost while a commit was under way,
	// so the events may or may not be in the log. Repeating the append with the
	// same event ids is safe: it writes them once. See [*OutcomeUnknownError].
	ErrOutcomeUnknown = errors.New("outcome unknown")
	// ErrBusy: the store gave up waiting for a lock, or ended the transaction
	// in favour of another one. Nothing was written; repeating is safe.
	ErrBusy = errors.New("store busy")
)

// ConflictError says that a stream did not end where the writer expected it: it
// is longer, it is shorter, or it has the expected length and another last event
// (see [After]). It unwraps to [ErrConflict].
type ConflictError struct {
	Stream StreamID
	// Expected is what the stream did not meet: without the id of an event (see
	// [After]) where the version decides alone.
	Expected Expected
	// Actual is the stream's last version, 0 when it has no events.
	Actual int64
}

// Conflict returns the error of an append to a stream whose last version is actual. It is
// for implementors of stores.
func Conflict(stream StreamID, expected Expected, actual int64) *ConflictError {
	if !expected.Admits(actual) {
		expected.last = uuid.Nil
	}
	return &ConflictError{Stream: stream, Expected: expected, Actual: actual}
}

// Error implements error.
func (e *ConflictError) Error() string {
	if e.Expected.Admits(e.Actual) {
		return fmt.Sprintf("%v on %s: expected %v, where the log now holds another event; it has lost what was read; load again", ErrConflict, e.Stream, e.Expected)
	}
	return fmt.Sprintf("%v on %s: expected %v, actual version %d", ErrConflict, e.Stream, e.Expected, e.Actual)
}

// Unwrap returns [ErrConflict].
func (e *ConflictError) Unwrap() error { return ErrConflict }

// TooLargeError says that the payload and metadata of an event together are
// over the store's limit. It unwraps to [ErrTooLarge].
type TooLargeError struct {
	Stream StreamID
	Type   string
	// Size and Limit are in bytes.
	Size, Limit int
}

// Error implements error.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%v: %s on %s has %d bytes, the limit is %d; store large content elsewhere and record a reference, or raise MaxEventBytes",
		ErrTooLarge, e.Type, e.Stream, e.Size, e.Limit)
}

// Unwrap returns [ErrTooLarge].
func (e *TooLargeError) Unwrap() error { return ErrTooLarge }

// CorruptStreamError says that a stream lacks an event that it must have: an
// event was deleted or changed by hand, or restored in part. It unwraps to
// [ErrCorruptStream].
type CorruptStreamError struct {
	Stream StreamID
	// Missing is the first version that should be there and is not.
	Missing int64
	// Next is the version found in its place, 0 when the stream ends before it.
	Next int64
	// Head is the last version according to the stream's own record.
	Head int64
}

// Error implements error.
func (e *CorruptStreamError) Error() string {
	found := "nothing follows"
	if e.Next > 0 {
		found = fmt.Sprintf("version %d follows", e.Next)
	}
	return fmt.Sprintf("%v %s: version %d is missing, %s, the recorded head is %d", ErrCorruptStream, e.Stream, e.Missing, found, e.Head)
}

// Unwrap returns [ErrCorruptStream].
func (e *CorruptStreamError) Unwrap() error { return ErrCorruptStream }

// DecodeError says which stored event could not be decoded. It unwraps to
// [ErrDecode] and to Err, so that errors.Is tells an unknown event type from a
// malformed payload.
type DecodeError struct {
	Stream   StreamID
	Version  int64
	Position int64
	Type     string
	Err      error
}

// Error implements error.
func (e *DecodeError) Error() string {
	return fmt.Sprintf("%v: %s version %d (%s): %v", ErrDecode, e.Stream, e.Version, e.Type, e.Err)
}

// Unwrap returns [ErrDecode] and the decoder's error.
func (e *DecodeError) Unwrap() []error { return []error{ErrDecode, e.Err} }

// OutcomeUnknownError wraps the error that hid the outcome of a commit. It
// unwraps to [ErrOutcomeUnknown] and to Err.
type OutcomeUnknownError struct {
	Err error
}

// Error implements error.
func (e *OutcomeUnknownError) Error() string {
	return fmt.Sprintf("%v, repeat with the same event ids to make sure: %v", ErrOutcomeUnknown, e.Err)
}

// Unwrap returns [ErrOutcomeUnknown] and the cause.
func (e *OutcomeUnknownError) Unwrap() []error { return []error{ErrOutcomeUnknown, e.Err} }
