package codec

import (
	"encoding"
	stdjson "encoding/json"
	"errors"
	"reflect"

	"github.com/goccy/go-json"

	"github.com/peatlog/peat/codec/internal/shape"
)

// Format turns Go values into bytes and back. An implementation must be safe
// for concurrent use, must keep no reference to the data it is given, and must
// decode what it encoded to an equal value. It is given pointers to the values
// that it is to encode, so that methods on pointers count.
type Format interface {
	// Binary reports how payloads are stored: false for JSON texts, which the
	// store can look into, true for opaque bytes.
	Binary() bool
	Marshal(v any) ([]byte, error)
	Unmarshal(data []byte, v any) error
}

// Checker is a [Format] that knows from a type what it can never bring back. The
// formats of peat are Checkers.
type Checker interface {
	Format
	// Check returns an error that names each field of a type that is encoded and
	// cannot be decoded to the same: unexported fields, interfaces, functions,
	// map keys that are no text, methods of one direction only. It returns nil for
	// a type without such a field.
	Check(t reflect.Type) error
	// CheckDecoded is Check for a type that is only decoded.
	CheckDecoded(t reflect.Type) error
}

// JSON is the default format: JSON as encoding/json understands it, through
// goccy/go-json. Integers keep all their digits, but for those in a field of type
// any, which come back as float64. It is a [Checker].
var JSON Format = jsonFormat{}

type jsonFormat struct{}

func (jsonFormat) Binary() bool                       { return false }
func (jsonFormat) Marshal(v any) ([]byte, error)      { return json.Marshal(v) }
func (jsonFormat) Unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }

var jsonShape = shape.Encoding{
	Tags: []string{"json"},
	Methods: []shape.Methods{
		{Marshaler: reflect.TypeFor[stdjson.Marshaler](), Unmarshaler: reflect.TypeFor[stdjson.Unmarshaler](), Marshal: "MarshalJSON", Unmarshal: "UnmarshalJSON"},
		{Marshaler: reflect.TypeFor[encoding.TextMarshaler](), Unmarshaler: reflect.TypeFor[encoding.TextUnmarshaler](), Marshal: "MarshalText", Unmarshal: "UnmarshalText"},
	},
	Known:     []reflect.Type{reflect.TypeFor[stdjson.Number]()},
	Marshal:   json.Marshal,
	Unmarshal: jsonFormat{}.Unmarshal,
}

func (jsonFormat) Check(t reflect.Type) error { return errors.Join(jsonShape.Check(t)...) }
func (jsonFormat) CheckDecoded(t reflect.Type) error {
	return errors.Join(jsonShape.CheckDecoded(t)...)
}
