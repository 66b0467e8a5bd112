// Package cbor is a binary event format: CBOR (RFC 8949) in its core
// deterministic encoding. It is smaller and faster to decode than JSON, and the
// store cannot look into it.
//
//	var Events = codec.NewUnion(…).WithFormat(cbor.Format)
package cbor

import (
	"encoding"
	"errors"
	"math/big"
	"reflect"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/peatlog/peat/codec"
	"github.com/peatlog/peat/codec/internal/shape"
)

// Format writes and reads events as CBOR. Fields take their names from the tags
// cbor or json. Types encode themselves by MarshalCBOR, MarshalBinary or MarshalText,
// not by MarshalJSON. In a field of type any, objects come back as map[string]any and
// integers as int64, or as big.Int where they are larger. It is a [codec.Checker]. Safe
// for concurrent use.
var Format codec.Format = newFormat()

type format struct {
	enc cbor.EncMode
	dec cbor.DecMode

	shape *shape.Encoding
}

func newFormat() format {
	options := cbor.CoreDetEncOptions()
	options.Time = cbor.TimeRFC3339Nano // the default drops what is below a second
	options.TextMarshaler = cbor.TextMarshalerTextString
	enc, err := options.EncMode()
	if err != nil {
		panic(err) // the options are constants
	}
	dec, err := cbor.DecOptions{
		DefaultMapType:  reflect.TypeFor[map[string]any](),
		IntDec:          cbor.IntDecConvertSignedOrBigInt,
		TextUnmarshaler: cbor.TextUnmarshalerTextString,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return format{enc: enc, dec: dec, shape: &shape.Encoding{
		Tags:   []string{"cbor", "json"},
		AnyKey: true, Addresses: true,
		Methods: []shape.Methods{
			{Marshaler: reflect.TypeFor[cbor.Marshaler](), Unmarshaler: reflect.TypeFor[cbor.Unmarshaler](), Marshal: "MarshalCBOR", Unmarshal: "UnmarshalCBOR"},
			{Marshaler: reflect.TypeFor[encoding.BinaryMarshaler](), Unmarshaler: reflect.TypeFor[encoding.BinaryUnmarshaler](), Marshal: "MarshalBinary", Unmarshal: "UnmarshalBinary"},
			{Marshaler: reflect.TypeFor[encoding.TextMarshaler](), Unmarshaler: reflect.TypeFor[encoding.TextUnmarshaler](), Marshal: "MarshalText", Unmarshal: "UnmarshalText"},
		},
		Known:   []reflect.Type{reflect.TypeFor[time.Time](), reflect.TypeFor[big.Int](), reflect.TypeFor[cbor.Tag](), reflect.TypeFor[cbor.RawTag]()},
		Marshal: enc.Marshal, Unmarshal: dec.Unmarshal,
	}}
}

func (format) Binary() bool                         { return true }
func (f format) Marshal(v any) ([]byte, error)      { return f.enc.Marshal(v) }
func (f format) Unmarshal(data []byte, v any) error { return f.dec.Unmarshal(data, v) }

func (f format) Check(t reflect.Type) error        { return errors.Join(f.shape.Check(t)...) }
func (f format) CheckDecoded(t reflect.Type) error { return errors.Join(f.shape.CheckDecoded(t)...) }
