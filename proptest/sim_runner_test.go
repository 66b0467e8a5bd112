package proptest_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/peatlog/peat/codec"
	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/proptest"
	"github.com/peatlog/peat/subscribe"
)

type noted struct{ N int }

func (noted) EventType() string { return "noted" }

var noteEvents = codec.NewUnion(codec.Case(func(e noted) es.Event { return e }))

func noteData(n int) es.EventData {
	return es.EventData{Type: "noted", Data: fmt.Appendf(nil, `{"N": %d}`, n)}
}

// The runner itself works on the simulated log: with crashes in between, what its handler
// writes takes effect once per event, and what it fails on waits, in order, until it is
// asked for.
func TestRunnerOnSimulatedLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := proptest.NewLog(proptest.LogOptions{})
		fails := sync.Map{} // the streams that are failed on
		fails.Store("1", true)
		handle := func(ctx context.Context, tx *proptest.Tx, e es.Envelope[es.Event]) error {
			if _, bad := fails.Load(e.Stream.Key); bad {
				return errors.New("it fails")
			}
			effect := es.StreamID{Category: "effect", Key: e.Stream.Key}
			_, err := tx.Append(ctx, effect, es.Exact(e.Version-1), es.EventData{Type: "noted", Data: e.Data})
			return err
		}
		runner, err := subscribe.NewRunner(log, subscribe.RunnerOptions{}, subscribe.Consumer{
			Name: "effects", Filter: es.Filter{Categories: []string{"note"}}, OnFailure: subscribe.Park, Segments: 2,
			Delivery: subscribe.Transactional(log, subscribe.EachIn(noteEvents, handle)),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- runner.Run(ctx) }()

		const streams, rounds = 3, 20
		for n := range rounds {
			for key := range streams {
				tx := log.Begin()
				for errors.Is(appendTo(tx, key, n), es.ErrBusy) {
					time.Sleep(time.Millisecond)
				}
				if err := tx.Commit(); err != nil {
					t.Fatal(err)
				}
			}
			if n%5 == 0 {
				log.Crash(100)
			}
			time.Sleep(time.Second)
		}
		effects := func(key string) (versions int) {
			for _, err := range log.ReadStream(t.Context(), es.StreamID{Category: "effect", Key: key}, es.ReadOptions{}) {
				if err != nil {
					t.Fatal(err)
				}
				versions++
			}
			return versions
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		for key, want := range map[string]int{"0": rounds, "1": 0, "2": rounds} {
			if got := effects(key); got != want {
				t.Errorf("%d events of stream %s have taken effect, want %d", got, key, want)
			}
		}
		fails.Clear()
		if n, err := runner.Redrive(t.Context(), "effects", es.StreamID{}); n != rounds || err != nil {
			t.Errorf("%d events are parked, %v; want %d", n, err, rounds)
		}
		time.Sleep(time.Minute)
		if got := effects("1"); got != rounds {
			t.Errorf("%d events of the stream have taken effect after the redrive, want %d", got, rounds)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func appendTo(tx *proptest.Tx, key, n int) error {
	_, err := tx.Append(context.Background(), es.StreamID{Category: "note", Key: strconv.Itoa(key)}, es.Any, noteData(n))
	return err
}

// This is how a user tests a projection against whatever order transactions commit in:
// what it comes to must be what the streams say, however often it was interrupted.
func TestProjectionOnSimulatedLog(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		log := proptest.NewLog(proptest.LogOptions{})
		sub, err := subscribe.New(log, "sums", subscribe.Options{BatchEvents: rapid.IntRange(1, 3).Draw(t, "batch")})
		if err != nil {
			t.Fatal(err)
		}
		last := map[string]int64{} // of each stream, the last version that was handled
		handle := func(wanted int) {
			events, err := sub.Poll(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			for i, e := range events {
				if i < wanted && e.Version > last[e.Stream.Key] { // it is given some of them again
					if e.Version != last[e.Stream.Key]+1 {
						t.Fatalf("version %d of stream %s behind %d", e.Version, e.Stream.Key, last[e.Stream.Key])
					}
					last[e.Stream.Key] = e.Version
				}
			}
			if err := sub.CheckpointAfter(context.Background(), min(wanted, len(events))); err != nil {
				t.Fatal(err)
			}
			if wanted < len(events) { // the process dies, and another one goes on
				sub, err = subscribe.New(log, "sums", subscribe.Options{})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		var open []*proptest.Tx
		end := func(i int) {
			if err := open[i].Commit(); err != nil {
				t.Fatal(err)
			}
			open = append(open[:i], open[i+1:]...)
		}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"append", "commit", "handle"}).Draw(t, "step") {
			case "append":
				tx := log.Begin()
				if err := appendTo(tx, rapid.IntRange(0, 2).Draw(t, "stream"), 1); errors.Is(err, es.ErrBusy) {
					tx.Rollback()
				} else {
					open = append(open, tx)
				}
			case "commit":
				if len(open) > 0 {
					end(rapid.IntRange(0, len(open)-1).Draw(t, "transaction"))
				}
			case "handle":
				handle(rapid.IntRange(0, 3).Draw(t, "events"))
			}
		}
		for len(open) > 0 {
			end(0)
		}
		for range 50 {
			handle(100)
		}
		for key := range 3 {
			stream := es.StreamID{Category: "note", Key: strconv.Itoa(key)}
			want := int64(0)
			for e, err := range log.ReadStream(context.Background(), stream, es.ReadOptions{}) {
				if err != nil {
					t.Fatal(err)
				}
				want = e.Version
			}
			if got := last[stream.Key]; got != want {
				t.Errorf("stream %s: handled up to version %d, want %d", stream.Key, got, want)
			}
		}
	})
}
