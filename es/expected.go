package es

import (
	"fmt"
	"math"
)

// Expected says what the writer of an append believes about the stream. The
// append lands only where that holds. The zero value is [NoStream].
type Expected int64

const (
	// NoStream expects that the stream has no events yet.
	NoStream Expected = 0
	// Any expects nothing: the events go to the end of the stream, whatever it is.
	Any Expected = -1
	// StreamExists expects at least one event.
	StreamExists Expected = -2

	// invalidExpected is what Exact makes of a negative version.
	invalidExpected Expected = math.MinInt64
)

// Exact expects the stream to end with this version; Exact(0) is [NoStream]. A
// negative version gives an expectation that every store refuses with
// [ErrInvalidEvent].
func Exact(version int64) Expected {
	if version < 0 {
		return invalidExpected
	}
	return Expected(version)
}

// Version returns the expected version, and false for [Any] and [StreamExists].
func (x Expected) Version() (int64, bool) { return int64(x), x >= 0 }

// Admits reports whether a stream whose last version is actual (0 for none)
// meets the expectation.
func (x Expected) Admits(actual int64) bool {
	switch x {
	case Any:
		return true
	case StreamExists:
		return actual > 0
	default:
		return int64(x) == actual
	}
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
	case x < 0:
		return "an invalid version"
	default:
		return fmt.Sprintf("version %d", int64(x))
	}
}
