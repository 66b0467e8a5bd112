package sqlite_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/sqlite"
)

func deposited(n int) es.EventData {
	return es.EventData{Type: "account.deposited", Data: fmt.Appendf(nil, `{"amount":%d,"currency":"CZK","note":"a payment"}`, n)}
}

// BenchmarkCommand is what an application does: load a stream of about 15 events,
// append one.
func BenchmarkCommand(b *testing.B) {
	for _, goroutines := range []int{1, 16, 64} {
		b.Run(strconv.Itoa(goroutines), func(b *testing.B) {
			s := openStore(b, tempFile(b), sqlite.Options{})
			const accounts = 1000
			seed := make([]es.EventData, 15)
			for i := range seed {
				seed[i] = deposited(i)
			}
			err := s.InTx(b.Context(), func(tx *sqlite.Tx) error {
				for i := range accounts {
					if _, err := tx.Append(b.Context(), es.StreamID{Category: "account", Key: strconv.Itoa(i)}, es.NoStream, seed...); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
			var next atomic.Int64
			var conflicts atomic.Int64
			b.SetParallelism(goroutines / 2)
			if goroutines == 1 {
				b.SetParallelism(1)
			}
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					id := es.StreamID{Category: "account", Key: strconv.Itoa(int(next.Add(1)) % accounts)}
					version := int64(0)
					for rec, err := range s.ReadStream(b.Context(), id, es.ReadOptions{From: max(0, 0)}) {
						if err != nil {
							b.Error(err)
							return
						}
						version = rec.Version
					}
					if _, err := s.Append(b.Context(), id, es.Exact(version), deposited(rand.IntN(1000))); err != nil {
						conflicts.Add(1)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commands/s")
			b.ReportMetric(float64(conflicts.Load()), "conflicts")
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 5, 31, 100, 1000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			s := openStore(b, tempFile(b), sqlite.Options{})
			events := make([]es.EventData, n)
			for i := range events {
				events[i] = deposited(i)
			}
			i := 0
			for b.Loop() {
				i++
				if _, err := s.Append(b.Context(), es.StreamID{Category: "account", Key: strconv.Itoa(i)}, es.NoStream, events...); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
