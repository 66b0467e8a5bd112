package es

import (
	"time"

	"github.com/google/uuid"
)

// Event is what an aggregate records: a value of a Go type with a stable name.
//
// EventType is the identity of the event in the log, such as
// "account.deposited". It must be a constant of the type and must never change
// once an event of that name is stored; the Go type may be renamed at will.
type Event interface {
	EventType() string
}

// EventData is an event ready to be appended: a name and an encoded payload.
//
// The zero ID asks the store to draw a UUID of version 7. Giving an ID makes
// the append repeatable; see [Appender].
type EventData struct {
	ID   uuid.UUID
	Type string
	// Data is the payload: a JSON text, or any bytes when Binary is true.
	Data   []byte
	Binary bool
	// Metadata goes with the event. Fields left empty are filled from the
	// context of the append; see [WithMetadata].
	Metadata Metadata
}

// Recorded is an event as the log holds it. Everything in it is immutable.
type Recorded struct {
	// Position is the event's place in the whole log. Positions grow with the
	// version inside a stream and may have holes.
	Position int64
	// Stream and Version identify the event: versions start at 1 and have no holes.
	Stream  StreamID
	Version int64
	ID      uuid.UUID
	Type    string
	// Data is the payload: a JSON text, or any bytes when Binary is true. A
	// store may hold JSON in a normal form, with other spacing and key order
	// than it was appended with.
	Data     []byte
	Binary   bool
	Metadata Metadata
	// RecordedAt is the store's clock at the append, for people to read: it
	// orders nothing.
	RecordedAt time.Time
}

// Envelope is a recorded event together with its decoded form.
type Envelope[E Event] struct {
	Recorded
	Event E
}

// Decoder turns stored payloads into events. A *codec.Union is one. An
// implementation must be safe for concurrent use.
type Decoder[E Event] interface {
	Decode(eventType string, data []byte, binary bool) (E, error)
}

// Decode decodes one recorded event. A payload that the decoder refuses gives a
// [*DecodeError] that names the stream, the version and the type and wraps the
// decoder's own error.
func Decode[E Event](d Decoder[E], r Recorded) (Envelope[E], error) {
	e, err := d.Decode(r.Type, r.Data, r.Binary)
	if err != nil {
		return Envelope[E]{}, &DecodeError{
			Stream: r.Stream, Version: r.Version, Position: r.Position, Type: r.Type, Err: err,
		}
	}
	return Envelope[E]{Recorded: r, Event: e}, nil
}
