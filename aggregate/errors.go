package aggregate

import (
	"errors"
	"fmt"

	"github.com/peatlog/peat/es"
)

// ErrApply says that Apply panicked on an event. See [*ApplyError].
var ErrApply = errors.New("apply panicked")

// ApplyError says on which event the Apply method of an aggregate panicked. Apply must
// accept every event in every state, or the streams that hold such events cannot be
// loaded. It unwraps to [ErrApply], and to what was panicked with if that is an error.
type ApplyError struct {
	Stream es.StreamID
	// Version is that of the event, or the one that a recorded event would have had.
	Version int64
	Type    string
	// Value is what Apply panicked with, Stack where.
	Value any
	Stack string
}

// Error implements error.
func (e *ApplyError) Error() string {
	return fmt.Sprintf("%v on %s version %d (%s): %v; Apply must accept every event in every state", ErrApply, e.Stream, e.Version, e.Type, e.Value)
}

// Unwrap returns [ErrApply], and the error that Apply panicked with.
func (e *ApplyError) Unwrap() []error { return withPanicked(ErrApply, e.Value) }

// PanicError is what Execute panics with when its decision has panicked, perhaps on another
// goroutine, and the error that it returns when making, reading or copying the state
// has.
type PanicError struct {
	// Value is what the code panicked with, Stack where.
	Value any
	Stack string
}

// Error implements error, with the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v\n\n%s", e.Value, e.Stack) }

// Unwrap returns the error that the code panicked with.
func (e *PanicError) Unwrap() []error { return withPanicked(nil, e.Value) }

func withPanicked(sentinel error, value any) (all []error) {
	if sentinel != nil {
		all = append(all, sentinel)
	}
	if err, ok := value.(error); ok {
		all = append(all, err)
	}
	return all
}

// errOtherHistory: the log does not hold the event that a state was read up to.
var errOtherHistory = errors.New("the log holds another history")
