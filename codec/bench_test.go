package codec_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peatlog/peat/codec"
	"github.com/peatlog/peat/codec/cbor"
)

func formats() map[string]*codec.Union[event] {
	return map[string]*codec.Union[event]{"json": newUnion(), "cbor": newUnion().WithFormat(cbor.Format)}
}

var usual = deposited{Amount: 12_345, Note: "rent of the month, paid", Limit: 1000}

// BenchmarkEncode makes the payload of an event.
func BenchmarkEncode(b *testing.B) {
	for name, u := range formats() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var data []byte
			for b.Loop() {
				var err error
				if _, data, _, err = u.Encode(usual); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			if len(data) == 0 {
				b.Error("the payload is empty")
			}
		})
	}
}

// BenchmarkDecode makes the event of a payload.
func BenchmarkDecode(b *testing.B) {
	for name, u := range formats() {
		b.Run(name, func(b *testing.B) {
			eventType, data, binary, err := u.Encode(usual)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			var e event
			for b.Loop() {
				if e, err = u.Decode(eventType, data, binary); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			if diff := cmp.Diff(event(usual), e); diff != "" {
				b.Error(diff)
			}
		})
	}
}
