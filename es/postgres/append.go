package postgres

import (
	"context"
	"fmt"

	"github.com/google/uuid"
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
		return es.AppendResult{}, es.Conflict(p.Stream, p.Expected, o.version)
	default:
		return es.AppendResult{}, fmt.Errorf("append to %s: the database answered %q; is its append function of another version?", p.Stream, o.kind)
	}
}

// appendBatch runs the append function on a batch of appends to different streams,
// none of them empty, and returns one outcome for each. An error means that the
// batch as a whole failed.
func (s *session) appendBatch(ctx context.Context, db querier, batch []request) ([]outcome, error) {
	var sql string
	var args []any
	if len(batch) == 1 && batch[0].single() {
		sql, args = s.sql.appendEvent, encodeEvent(batch[0])
	} else {
		sql, args = s.sql.append, encodeBatch(batch)
	}
	rows, err := db.Query(ctx, sql, args...)
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

// single reports whether r is for the function that appends one event. What has no
// expected version is looked for under the lock, which that function does not do.
func (r request) single() bool { return len(r.Events) == 1 && !r.searched() }

// searched reports whether the ids of r are to be looked for in the stream.
func (r request) searched() bool {
	_, exact := r.Expected.Version()
	return r.Repeatable && !exact
}

// last returns the id of the event that the stream is expected to end with, NULL for any.
func (r request) last() pgtype.UUID {
	last := r.Expected.Last()
	return pgtype.UUID{Bytes: last, Valid: last != uuid.Nil}
}

// encodeEvent returns the arguments of that function.
func encodeEvent(r request) []any {
	id, data, blob := payload(r.Events[0])
	return []any{r.stream, r.Expected.Number(), r.last(), id, r.Events[0].Type, data, blob, text(r.Metadata[0])}
}

// encodeBatch returns the arguments of the function that appends to many streams: first
// those with an element per append, then those with one per event. They are of types
// that pgx can send in every query mode, and without reflection.
func encodeBatch(batch []request) []any {
	n := 0 // events
	for _, r := range batch {
		n += len(r.Events)
	}
	streams, expected := make([]string, len(batch)), make([]int64, len(batch))
	last := make(pgtype.FlatArray[pgtype.UUID], len(batch))
	firsts, counts, search := make([]int32, len(batch)), make([]int32, len(batch)), make([]bool, len(batch))

	types := make([]string, 0, n)
	ids, blobs := make(pgtype.FlatArray[pgtype.UUID], 0, n), make(pgtype.FlatArray[[]byte], 0, n)
	data, metadata := make(pgtype.FlatArray[*string], 0, n), make(pgtype.FlatArray[*string], 0, n)
	for i, r := range batch {
		streams[i], expected[i], last[i], search[i] = r.stream, r.Expected.Number(), r.last(), r.searched()
		firsts[i], counts[i] = int32(len(types)+1), int32(len(r.Events))
		for j, e := range r.Events {
			id, json, blob := payload(e)
			ids, types, blobs = append(ids, id), append(types, e.Type), append(blobs, blob)
			data, metadata = append(data, json), append(metadata, text(r.Metadata[j]))
		}
	}
	return []any{streams, expected, last, firsts, counts, search, ids, types, data, blobs, metadata}
}

// payload returns the id of an event and its data, as text or as a blob.
func payload(e es.EventData) (id pgtype.UUID, data *string, blob []byte) {
	id = pgtype.UUID{Bytes: e.ID, Valid: true}
	if e.Binary {
		return id, nil, notNil(e.Data)
	}
	return id, new(string(e.Data)), nil
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
