package codec

import "github.com/goccy/go-json"

// Format turns Go values into bytes and back. An implementation must be safe
// for concurrent use, must keep no reference to the data it is given, and must
// decode what it encoded to an equal value.
type Format interface {
	// Binary tells how payloads are stored: false for JSON texts, which the
	// store can look into, true for opaque bytes.
	Binary() bool
	Marshal(v any) ([]byte, error)
	Unmarshal(data []byte, v any) error
}

// JSON is the default format: JSON as encoding/json understands it, through
// goccy/go-json. Integers keep all their digits.
var JSON Format = jsonFormat{}

type jsonFormat struct{}

func (jsonFormat) Binary() bool                       { return false }
func (jsonFormat) Marshal(v any) ([]byte, error)      { return json.Marshal(v) }
func (jsonFormat) Unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }
