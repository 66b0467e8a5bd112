// Package cbor is a binary event format: CBOR (RFC 8949) in its core
// deterministic encoding. It is smaller and faster to decode than JSON, and the
// store cannot look into it.
//
//	var Events = codec.NewUnion(…).WithFormat(cbor.Format)
package cbor

import (
	"github.com/fxamacker/cbor/v2"

	"github.com/peatlog/peat/codec"
)

// Format writes and reads events as CBOR. Fields take their names from the tags
// cbor or json. Safe for concurrent use.
var Format codec.Format = newFormat()

type format struct {
	enc cbor.EncMode
	dec cbor.DecMode
}

func newFormat() format {
	options := cbor.CoreDetEncOptions()
	options.Time = cbor.TimeRFC3339Nano // the default drops what is below a second
	enc, err := options.EncMode()
	if err != nil {
		panic(err) // the options are constants
	}
	dec, err := cbor.DecOptions{}.DecMode()
	if err != nil {
		panic(err)
	}
	return format{enc: enc, dec: dec}
}

func (format) Binary() bool                         { return true }
func (f format) Marshal(v any) ([]byte, error)      { return f.enc.Marshal(v) }
func (f format) Unmarshal(data []byte, v any) error { return f.dec.Unmarshal(data, v) }
