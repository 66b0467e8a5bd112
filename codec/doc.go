// Package codec maps the event types of a Go program to stable names and their
// values to stored payloads, and back.
//
// # Model
//
// A [Union] is a closed set of event types, given once, at start-up:
//
//	var Events = codec.NewUnion(
//		codec.Case(func(e Opened) Event { return e }),
//		codec.Case(func(e Deposited) Event { return e }),
//		codec.Legacy("account.credited", func(e creditedV1) Event { return Deposited{Amount: e.Cents} }),
//	)
//
// A [Case] is a type that the program writes and reads. Its name is what its
// EventType method returns, never the name of the Go type. A [Legacy] case only
// reads: it brings a form that the log still holds into today's type. A type
// that is not an event of the union does not compile.
//
// # Changing event types
//
// The log is never rewritten. What changes is how it is read:
//
//   - Rename a Go type or its package: nothing to do, the name is in EventType.
//   - Add a field: give it a useful zero value; payloads without it decode to that.
//     Unknown fields are ignored, so a field can also be dropped.
//   - Rename an event: let EventType return the new name, and add a Legacy case
//     for the old one.
//   - Change an event's form: keep the old struct, unexported, as the type of a
//     Legacy case, and give the new form a new name such as "account.deposited.v2".
//     For a chain, let each upcast call the next: Legacy("v1", func(e v1) Event
//     { return fromV2(e.toV2()) }).
//   - Split an event into several: let the Legacy case choose by content which of
//     the new types a stored event becomes. One stored event is always one decoded
//     event, so that versions keep their meaning.
//   - Read some of the events only, as a projection does: make a [Part] of the union. It
//     keeps the Legacy cases, which a union of the projection's own would lack.
//   - Retire an event: move it from Case to Legacy, decoding to an event that the
//     fold ignores. Dropping it instead makes streams that hold it unreadable.
//
// # Formats
//
// Payloads are JSON unless [NewUnionIn] or [Union.WithFormat] sets another [Format] for writing.
// A union with a binary format still reads its older JSON events, so a format
// can be changed at any time.
//
// # Concurrency
//
// A Union is immutable and safe for concurrent use.
//
// # Errors
//
// Faults of the program (a name twice, a pointer type, a field that does not come back)
// panic in [NewUnion]. Faults of the data are errors: [ErrUnknownEvent], [ErrMalformed].
// Decoding never panics, whatever the bytes.
package codec
