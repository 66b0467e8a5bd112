package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/peatlog/peat/es"
)

// outcome is what the append function answers for one append of a batch.
type outcome struct {
	kind              string
	version, position int64
}

// written reports whether the events are in the log by this very append.
func (o outcome) written() bool { return o.kind == "written" }

// result turns the outcome of p into what the caller of Append gets.
func (o outcome) result(p es.Prepared) (es.AppendResult, error) {
	switch o.kind {
	case "written", "duplicate":
		return es.AppendResult{Version: o.version, Position: o.position, Duplicate: o.kind == "duplicate"}, nil
	case "conflict":
		return es.AppendResult{}, &es.ConflictError{Stream: p.Stream, Expected: p.Expected, Actual: o.version}
	default:
		return es.AppendResult{}, fmt.Errorf("append to %s: the database answered %q; is its append function of another version?", p.Stream, o.kind)
	}
}

// appendBatch runs the append function on a batch of appends to different
// streams, none of them empty, and returns one outcome for each. An error means
// that the batch as a whole failed.
func (s *session) appendBatch(ctx context.Context, db querier, batch []request) ([]outcome, error) {
	args := encodeBatch(batch)
	rows, err := db.Query(ctx, s.sql.append,
		args.streams, args.expected, args.firsts, args.counts, args.search,
		args.items, args.ids, args.types, args.data, args.blobs, args.metadata)
	if err != nil {
		return nil, err
	}
	outcomes := make([]outcome, len(batch))
	answered := 0
	var item int
	var o outcome
	_, err = pgx.ForEachRow(rows, []any{&item, &o.kind, &o.version, &o.position}, func() error {
		outcomes[item-1] = o
		answered++
		return nil
	})
	if err == nil && answered != len(batch) {
		err = fmt.Errorf("the database answered %d of %d appends", answered, len(batch))
	}
	return outcomes, err
}

// batchArgs holds the arguments of the append function: one element per append
// in the first group, one per event in the second.
type batchArgs struct {
	streams        []string
	expected       []int64
	firsts, counts []int32
	search         []bool

	items    []int32
	ids      []pgtype.UUID // of a type that pgx can send in every query mode
	types    []string
	data     []*string
	blobs    [][]byte
	metadata []*string
}

func encodeBatch(batch []request) batchArgs {
	var a batchArgs
	for item, p := range batch {
		a.streams = append(a.streams, p.stream)
		a.expected = append(a.expected, int64(p.Expected))
		a.firsts = append(a.firsts, int32(len(a.ids)+1))
		a.counts = append(a.counts, int32(len(p.Events)))
		_, exact := p.Expected.Version()
		a.search = append(a.search, p.Repeatable && !exact)
		for i, e := range p.Events {
			a.items = append(a.items, int32(item+1))
			a.ids = append(a.ids, pgtype.UUID{Bytes: e.ID, Valid: true})
			a.types = append(a.types, e.Type)
			if e.Binary {
				a.blobs, a.data = append(a.blobs, notNil(e.Data)), append(a.data, nil)
			} else {
				a.blobs, a.data = append(a.blobs, nil), append(a.data, new(string(e.Data)))
			}
			a.metadata = append(a.metadata, text(p.Metadata[i]))
		}
	}
	return a
}

// notNil keeps an empty payload from becoming NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func text(b []byte) *string {
	if b == nil {
		return nil
	}
	return new(string(b))
}
