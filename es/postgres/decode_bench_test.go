package postgres

import (
	"encoding/binary"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/peatlog/peat/es"
)

// someRows are the rows of events of one stream as the server sends them. Everything but
// their values panics.
type someRows struct {
	pgx.Rows
	values [][]byte
	left   int
}

func (r *someRows) Next() bool {
	r.left--
	binary.BigEndian.PutUint64(r.values[1], binary.BigEndian.Uint64(r.values[1])+1)
	return r.left >= 0
}
func (r *someRows) RawValues() [][]byte { return r.values }
func (r *someRows) Err() error          { return nil }
func (r *someRows) Close()              {}

func (r *someRows) FieldDescriptions() []pgconn.FieldDescription {
	fields := make([]pgconn.FieldDescription, 1+len(formats))
	for i, f := range formats {
		fields[1+i].Format = f
	}
	return fields
}

func newRows(n int) *someRows {
	number := func(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }
	id := uuid.New()
	return &someRows{left: n, values: [][]byte{
		[]byte("account-42"), number(0), number(7), id[:], []byte("account.deposited"),
		[]byte(`{"amount": 7, "currency": "CZK", "from": "account-41", "note": "rent of the month"}`), nil, nil,
		number(time.Now().UnixMicro() - epoch2000),
	}}
}

// BenchmarkDecodeRows makes a page of events of what the server has sent.
func BenchmarkDecodeRows(b *testing.B) {
	for _, n := range []int{10, 100, 2000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			b.ReportAllocs()
			var last es.Recorded
			for b.Loop() {
				p, err := collect(newRows(n), n, 1<<20)
				if err != nil || len(p.Events) != n {
					b.Fatalf("%d events, %v", len(p.Events), err)
				}
				last = p.Events[n-1]
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "events/s")
			if last.Version != int64(n) || last.Stream.Key != "42" {
				b.Errorf("the last event is version %d of %s", last.Version, last.Stream)
			}
		})
	}
}

// BenchmarkEncodeAppend makes the arguments of the append function of what callers append.
func BenchmarkEncodeAppend(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			b.ReportAllocs()
			events := make([]es.EventData, n)
			for i := range events {
				events[i] = es.EventData{Type: "account.deposited", Data: []byte(`{"amount":7,"currency":"CZK","from":"account-41","note":"rent of the month"}`)}
			}
			stream := es.StreamID{Category: "account", Key: "42"}
			var args []any
			for b.Loop() {
				p, err := es.Prepare(b.Context(), stream, es.Any, events, es.DefaultMaxEventBytes)
				if err != nil {
					b.Fatal(err)
				}
				r, err := newRequest(p)
				if err != nil {
					b.Fatal(err)
				}
				args = encodeBatch([]request{r})
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "events/s")
			if ids := args[5].(pgtype.FlatArray[pgtype.UUID]); len(ids) != n || args[0].([]string)[0] != "account-42" {
				b.Errorf("%d ids for %v", len(ids), args[0])
			}
		})
	}
}
