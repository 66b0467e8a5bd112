package aggregate_test

import (
	"context"
	"iter"
	"strconv"
	"testing"

	"github.com/google/uuid"

	"github.com/peatlog/peat/aggregate"
	"github.com/peatlog/peat/es"
)

// inMemory is a store of one stream that is there already. What it cannot do panics.
type inMemory struct {
	aggregate.Store
	events []es.Recorded
}

// ReadStream implements es.StreamReader.
func (m inMemory) ReadStream(context.Context, es.StreamID, es.ReadOptions) iter.Seq2[es.Recorded, error] {
	return func(yield func(es.Recorded, error) bool) {
		for _, e := range m.events {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// BenchmarkFold loads an aggregate of so many events from memory: decoding and folding.
func BenchmarkFold(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			store := inMemory{}
			for i := range n {
				store.events = append(store.events, es.Recorded{
					Stream: stream, Version: int64(i + 1), Position: int64(i + 1), ID: uuid.New(),
					Type: added{}.EventType(), Data: []byte(`{"N":1}`),
				})
			}
			repo := newRepository(store)
			b.ReportAllocs()
			version := int64(0)
			for b.Loop() {
				root, err := repo.Load(b.Context(), stream.Key)
				if err != nil {
					b.Fatal(err)
				}
				version = root.Version()
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "events/s")
			if version != int64(n) {
				b.Errorf("loaded version %d, want %d", version, n)
			}
		})
	}
}
