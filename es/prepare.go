package es

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/google/uuid"
)

// DefaultMaxEventBytes is the size limit of one event, payload and metadata
// together, where a store's options set none.
const DefaultMaxEventBytes = 1 << 20

// maxEventTypeBytes bounds the name of an event type.
const maxEventTypeBytes = 255

// Prepared is a checked append: what a store writes. It is for implementors of
// stores.
type Prepared struct {
	Stream   StreamID
	Expected Expected
	Events   []EventData
	// Metadata holds the encoded metadata of each event, nil for none.
	Metadata [][]byte
	// Repeatable tells that the caller gave the ids, so that the events may be
	// in the log already.
	Repeatable bool
}

// Prepare does what all stores do first with an append: it checks the stream,
// the expectation and the events, draws the missing ids, and adds the metadata
// that ctx carries. The caller's events are not changed.
func Prepare(ctx context.Context, stream StreamID, expected Expected, events []EventData, maxEventBytes int) (Prepared, error) {
	if err := stream.Validate(); err != nil {
		return Prepared{}, err
	}
	if expected.Number() < StreamExists.Number() {
		return Prepared{}, fmt.Errorf("%w for %s: the expected version is negative", ErrInvalidEvent, stream)
	}
	p := Prepared{
		Stream: stream, Expected: expected,
		Events: make([]EventData, len(events)), Metadata: make([][]byte, len(events)),
	}
	copy(p.Events, events)
	if err := distinct(stream, events); err != nil {
		return Prepared{}, err
	}
	fromContext := MetadataFrom(ctx)
	for i := range p.Events {
		e := &p.Events[i]
		if e.ID != uuid.Nil {
			p.Repeatable = true
		} else if err := drawID(&e.ID); err != nil {
			return Prepared{}, err
		}
		var err error
		if e.Metadata = e.Metadata.Or(fromContext); !e.Metadata.IsZero() {
			if p.Metadata[i], err = json.Marshal(e.Metadata); err != nil {
				return Prepared{}, fmt.Errorf("%w for %s: metadata: %w", ErrInvalidEvent, stream, err)
			}
		}
		if err := check(stream, e, p.Metadata[i], maxEventBytes); err != nil {
			return Prepared{}, err
		}
	}
	return p, nil
}

// distinct refuses events that have one id.
func distinct(stream StreamID, events []EventData) error {
	if len(events) < 2 {
		return nil
	}
	seen := make(map[uuid.UUID]bool, len(events))
	for _, e := range events {
		if e.ID != uuid.Nil && seen[e.ID] {
			return fmt.Errorf("%w %q for %s: two events of the append have the id %s", ErrInvalidEvent, e.Type, stream, e.ID)
		}
		seen[e.ID] = true
	}
	return nil
}

func drawID(id *uuid.UUID) (err error) {
	if *id, err = uuid.NewV7(); err != nil {
		return fmt.Errorf("draw an event id: %w", err)
	}
	return nil
}

// check refuses what a store cannot hold, so that every store refuses the same
// and a batch never fails in the database for one caller's event.
func check(stream StreamID, e *EventData, metadata []byte, limit int) error {
	invalid := func(why string) error {
		return fmt.Errorf("%w %q for %s: %s", ErrInvalidEvent, e.Type, stream, why)
	}
	switch {
	case e.Type == "":
		return invalid("the event type is empty")
	case len(e.Type) > maxEventTypeBytes:
		return invalid(fmt.Sprintf("the event type is longer than %d bytes", maxEventTypeBytes))
	case !printable(e.Type):
		return invalid("the event type holds a control character or is not UTF-8")
	case len(e.Data)+len(metadata) > limit:
		return &TooLargeError{Stream: stream, Type: e.Type, Size: len(e.Data) + len(metadata), Limit: limit}
	case holdsNUL(metadata):
		return invalid("the metadata holds a NUL character, which PostgreSQL cannot store")
	case e.Binary:
		return nil
	case !utf8.Valid(e.Data):
		return invalid("the JSON payload is not UTF-8")
	case !json.Valid(e.Data):
		return invalid("the payload is not JSON; set Binary for other formats")
	case holdsNUL(e.Data):
		return invalid(`the JSON payload holds a NUL character (\u0000), which PostgreSQL cannot store; strip it or use a binary format`)
	}
	return nil
}

// holdsNUL finds \u0000 in a JSON text: a 'u0000' whose backslash is not itself
// escaped.
func holdsNUL(text []byte) bool {
	for rest := text; ; {
		i := bytes.Index(rest, []byte(`\u0000`))
		if i < 0 {
			return false
		}
		backslashes := 1
		for j := i - 1; j >= 0 && rest[j] == '\\'; j-- {
			backslashes++
		}
		if backslashes%2 == 1 {
			return true
		}
		rest = rest[i+len(`\u0000`):]
	}
}
