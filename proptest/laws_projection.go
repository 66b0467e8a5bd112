package proptest

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/subscribe"
)

// ReadModel is a projection with what readers see of it.
type ReadModel[E es.Event, T any] struct {
	// Handle takes events in, one or more at once.
	Handle func(ctx context.Context, batch []es.Envelope[E]) error
	// Table returns all that readers can see, in a form that can be compared, such as
	// a map or a sorted slice of rows.
	Table func(ctx context.Context) (T, error)
}

// HandleEach makes the Handle of a [ReadModel] of a projection.
func HandleEach[E es.Event](p subscribe.Projection[E]) func(ctx context.Context, batch []es.Envelope[E]) error {
	return func(ctx context.Context, batch []es.Envelope[E]) error {
		for _, e := range batch {
			if err := p.Handle(ctx, e); err != nil {
				return err
			}
		}
		return nil
	}
}

// ProjectionOptions says how a projection is fed. The zero value is one that is fed at
// least once.
type ProjectionOptions struct {
	// Category is that of the streams; "" is "law".
	Category string
	// ExactlyOnce is for handlers in the transaction that stores the progress, which
	// are never given an event again after it took effect.
	ExactlyOnce bool
}

// CheckProjection holds a projection to its laws and fails t with a small example where
// one is broken:
//
//   - It comes to the same table whatever the size of the batches.
//   - It comes to the same table when events are delivered again, as after a crash: from
//     some place on, in the same order.
//   - It comes to the same table whatever the order between streams, of which nothing is
//     promised but that effects come behind their causes.
//
// histories draws what happens to one stream; see [Events.Sequences] and [Reachable].
// open opens a new, empty read model; it is called several times for each example.
func CheckProjection[E es.Event, T any](t rapid.TB, histories *rapid.Generator[[]E], open func(t *rapid.T) ReadModel[E, T], opts ProjectionOptions) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		streams := streamsOf(opts.Category, rapid.SliceOfN(histories, 1, 4).Draw(t, "histories of streams"))
		log := interleave(t, "order", streams)
		for i := range log {
			log[i].Position = int64(i + 1)
		}
		want := project(t, open, singly(log))
		compare := func(law string, batches [][]es.Envelope[E]) {
			if d := diff(want, project(t, open, batches)); d != "" {
				t.Fatalf("%s (-one after another +otherwise):\n%s", law, d)
			}
		}
		compare("the table depends on the size of the batches", cut(t, log))
		if !opts.ExactlyOnce {
			upTo := rapid.IntRange(0, len(log)).Draw(t, "delivered before the crash")
			from := rapid.IntRange(0, upTo).Draw(t, "stored before the crash")
			compare("the table changes when events are delivered again", slices.Concat(singly(log[:upTo]), cut(t, log[from:])))
		}
		at := map[place]int64{} // an event keeps its position, also when it commits late
		for _, e := range log {
			at[place{e.Stream, e.Version}] = e.Position
		}
		other := interleave(t, "other order", streams)
		for i, e := range other {
			other[i].Position = at[place{e.Stream, e.Version}]
		}
		compare("the table depends on the order between streams", singly(other))
	})
}

// place is where an event stands.
type place struct {
	stream  es.StreamID
	version int64
}

// streamsOf makes a stream of each history.
func streamsOf[E es.Event](category string, histories [][]E) [][]es.Envelope[E] {
	if category == "" {
		category = "law"
	}
	var all [][]es.Envelope[E]
	for i, events := range histories {
		stream := make([]es.Envelope[E], len(events))
		for v, e := range events {
			stream[v] = es.Envelope[E]{Event: e, Recorded: es.Recorded{
				Stream: es.StreamID{Category: category, Key: strconv.Itoa(i + 1)}, Version: int64(v + 1),
				ID: uuid.UUID{8: 0x80, 14: byte(i + 1), 15: byte(v + 1)}, Type: e.EventType(),
				RecordedAt: time.Date(2026, 1, 1, i, v, 0, 0, time.UTC),
			}}
		}
		all = append(all, stream)
	}
	return all
}

// interleave draws an order of the events that keeps that of each stream.
func interleave[E es.Event](t *rapid.T, label string, streams [][]es.Envelope[E]) []es.Envelope[E] {
	var turns []int
	for i, s := range streams {
		turns = append(turns, slices.Repeat([]int{i}, len(s))...)
	}
	if len(turns) == 0 {
		return nil
	}
	next := make([]int, len(streams))
	var log []es.Envelope[E]
	for _, i := range rapid.Permutation(turns).Draw(t, label) {
		log = append(log, streams[i][next[i]])
		next[i]++
	}
	return log
}

// cut cuts the events into batches.
func cut[E es.Event](t *rapid.T, log []es.Envelope[E]) (batches [][]es.Envelope[E]) {
	size := rapid.IntRange(1, 8)
	for len(log) > 0 {
		n := min(size.Draw(t, "batch"), len(log))
		batches, log = append(batches, log[:n]), log[n:]
	}
	return batches
}

func singly[E es.Event](log []es.Envelope[E]) [][]es.Envelope[E] {
	return slices.Collect(slices.Chunk(log, 1))
}

// project opens a read model and returns its table after the batches.
func project[E es.Event, T any](t *rapid.T, open func(t *rapid.T) ReadModel[E, T], batches [][]es.Envelope[E]) T {
	m := open(t)
	for _, b := range batches {
		if err := m.Handle(t.Context(), slices.Clone(b)); err != nil {
			t.Fatalf("from %s version %d: %v", b[0].Stream, b[0].Version, err)
		}
	}
	table, err := m.Table(t.Context())
	if err != nil {
		t.Fatalf("read the table: %v", err)
	}
	return table
}
