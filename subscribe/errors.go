package subscribe

import (
	"errors"
	"fmt"

	"github.com/peatlog/peat/es"
)

// DeliveryError says that a handler failed on an event for good, so that its reader
// stopped. It unwraps to the handler's error.
type DeliveryError struct {
	Consumer string
	Event    es.Recorded
	// Attempts is how often the event was handed over.
	Attempts int
	Err      error
}

// Error implements error.
func (e *DeliveryError) Error() string {
	return fmt.Sprintf("consumer %q stopped at %s version %d (%s) after %d attempts: %v; mend the handler and run it again, or let it park such events (OnFailure)",
		e.Consumer, e.Event.Stream, e.Event.Version, e.Event.Type, e.Attempts, e.Err)
}

// Unwrap returns the handler's error.
func (e *DeliveryError) Unwrap() error { return e.Err }

// PanicError is the error of a handler that panicked.
type PanicError struct {
	// Value is what it panicked with, as text, and Stack where.
	Value, Stack string
}

// Error implements error.
func (e *PanicError) Error() string { return "handler panicked: " + e.Value }

// reason is all that is known of an error, for people.
func reason(err error) string {
	if p, ok := errors.AsType[*PanicError](err); ok {
		return err.Error() + "\n" + p.Stack
	}
	return err.Error()
}
