package sqlite_test

import (
	"fmt"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/sqlite"
)

func deposited(n int) []es.EventData {
	events := make([]es.EventData, n)
	for i := range events {
		events[i] = es.EventData{Type: "account.deposited", Data: fmt.Appendf(nil, `{"amount":%d,"currency":"CZK","note":"a payment"}`, i)}
	}
	return events
}

func account(n int) es.StreamID { return es.StreamID{Category: "account", Key: strconv.Itoa(n)} }

// BenchmarkCommand is what an application does, by so many goroutines: load a
// stream of 15 events and more, append one.
func BenchmarkCommand(b *testing.B) {
	const accounts, before = 1000, 15
	for _, goroutines := range []int{2, 16, 64} {
		b.Run(strconv.Itoa(goroutines), func(b *testing.B) {
			s := openStore(b, tempFile(b), sqlite.Options{})
			err := s.InTx(b.Context(), func(tx *sqlite.Tx) error {
				for i := range accounts {
					mustAppend(b, tx, account(i), es.NoStream, deposited(before)...)
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
			var next, landed atomic.Int64
			b.SetParallelism(max(1, goroutines/runtime.GOMAXPROCS(0)))
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					id, version := account(int(next.Add(1)%accounts)), int64(0)
					for rec, err := range s.ReadStream(b.Context(), id, es.ReadOptions{}) {
						if err != nil {
							b.Error(err)
						}
						version = rec.Version
					}
					if _, err := s.Append(b.Context(), id, es.Exact(version), deposited(1)...); err == nil {
						landed.Add(1)
					}
				}
			})
			b.StopTimer()
			b.ReportMetric(float64(landed.Load())/b.Elapsed().Seconds(), "commands/s")
			if n := positions(b, s); n != accounts*before+landed.Load() {
				b.Errorf("%d events, want %d and %d", n, accounts*before, landed.Load())
			}
		})
	}
}

// positions returns the number of events ever written.
func positions(b *testing.B, s es.LogReader) (last int64) {
	b.Helper()
	for rec, err := range s.ReadAll(b.Context(), es.ReadAllOptions{Backward: true, Limit: 1}) {
		if err != nil {
			b.Fatal(err)
		}
		last = rec.Position
	}
	return last
}

// BenchmarkAppend is one goroutine that appends so many events at once.
func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 10, 100, 1000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			s, events, i := openStore(b, tempFile(b), sqlite.Options{}), deposited(n), 0
			for b.Loop() {
				mustAppend(b, s, account(i), es.NoStream, events...)
				i++
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkRead is one goroutine that reads a stream of so many events.
func BenchmarkRead(b *testing.B) {
	for _, n := range []int{15, 100, 10_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			s, read := openStore(b, tempFile(b), sqlite.Options{}), 0
			mustAppend(b, s, streamA, es.NoStream, deposited(n)...)
			for b.Loop() {
				read = count(b, s, streamA)
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "events/s")
			if read != n {
				b.Errorf("%d events, want %d", read, n)
			}
		})
	}
}
