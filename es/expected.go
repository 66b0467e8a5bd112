package es

import (
	"fmt"

	"github.com/google/uuid"
)

// Expected says what the writer of an append believes about the stream. The
// append lands only where that holds. The zero value is [NoStream].
type Expected struct {
	number int64 // a version, or one of the following
	last   uuid.UUID
}

const (
	anyVersion   = -1
	someVersion  = -2
	noExpected   = -3 // what Exact makes of a negative version
	noVersionYet = 0
)

// The expectations without a version. They are not to be assigned to.
var (
	// NoStream expects that the stream has no events yet.
	NoStream = Expected{number: noVersionYet}
	// Any expects nothing: the events go to the end of the stream, whatever it is.
	Any = Expected{number: anyVersion}
	// StreamExists expects at least one event.
	StreamExists = Expected{number: someVersion}
)

// Exact expects the stream to end with this version; Exact(0) is [NoStream]. A
// negative version gives an expectation that every store refuses with
// [ErrInvalidEvent].
func Exact(version int64) Expected {
	if version < 0 {
		return Expected{number: noExpected}
	}
	return Expected{number: version}
}

// After expects the stream to end with the event that has this version and this id. It
// is [Exact] for a writer that has read that event, perhaps long ago: a server that has
// lost commits, or was restored, can hold another event of the same version, on which
// the writer has not decided.
func After(version int64, id uuid.UUID) Expected {
	x := Exact(version)
	if version > 0 {
		x.last = id
	}
	return x
}

// Equal reports whether two expectations are the same.
func (x Expected) Equal(y Expected) bool { return x == y }

// Version returns the expected version, and false for [Any] and [StreamExists].
func (x Expected) Version() (int64, bool) { return x.number, x.number >= 0 }

// Last returns the id of the event that the stream is expected to end with, the nil UUID
// where any event of the expected version will do.
func (x Expected) Last() uuid.UUID { return x.last }

// Number returns the expectation as stores pass it to their statements: the expected
// version, -1 for [Any], -2 for [StreamExists].
func (x Expected) Number() int64 { return x.number }

// Admits reports whether a stream whose last version is actual (0 for none)
// meets the expectation, as far as the version decides.
func (x Expected) Admits(actual int64) bool {
	switch x.number {
	case anyVersion:
		return true
	case someVersion:
		return actual > 0
	default:
		return x.number == actual
	}
}

// AdmitsLast is Admits for a stream whose last event has this id.
func (x Expected) AdmitsLast(actual int64, last uuid.UUID) bool {
	return x.Admits(actual) && (x.last == uuid.Nil || x.last == last)
}

// String prints the expectation for people.
func (x Expected) String() string {
	switch {
	case x == NoStream:
		return "no stream"
	case x == Any:
		return "any version"
	case x == StreamExists:
		return "an existing stream"
	case x.number < 0:
		return "an invalid version"
	case x.last != uuid.Nil:
		return fmt.Sprintf("version %d with the event %s", x.number, x.last)
	default:
		return fmt.Sprintf("version %d", x.number)
	}
}
