package subscribe

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/peatlog/peat/es"
)

// numbers is a log of so many events, at the positions from 1 on. Safe for
// concurrent use.
type numbers struct {
	lock    sync.Mutex
	last    int64
	failing bool
	began   func(ctx context.Context, behind int64)
}

func position(cp es.Checkpoint) int64 {
	n, _ := strconv.ParseInt("0"+string(cp), 10, 64)
	return n
}

func checkpointAt(position int64) es.Checkpoint {
	return es.Checkpoint(strconv.FormatInt(position, 10))
}

func (l *numbers) set(change func(l *numbers)) {
	l.lock.Lock()
	defer l.lock.Unlock()
	change(l)
}

func (l *numbers) Feed(ctx context.Context, behind es.Checkpoint, opts es.FeedOptions) (es.Batch, error) {
	if l.began != nil {
		l.began(ctx, position(behind))
	}
	l.lock.Lock()
	defer l.lock.Unlock()
	if l.failing {
		return es.Batch{}, errors.New("failing")
	}
	from := position(behind)
	b := es.Batch{Next: behind, Prefix: func(n int) es.Checkpoint { return checkpointAt(from + int64(n)) }}
	for p := from + 1; p <= l.last && len(b.Events) < opts.MaxEvents; p++ {
		b.Events = append(b.Events, es.Recorded{Position: p})
		b.Next = checkpointAt(p)
	}
	b.More = len(b.Events) == opts.MaxEvents // as a store does: perhaps there are no more
	return b, nil
}

// Whatever the caller does between two reads, each gives what is in the log behind
// the checkpoint that it names, and nothing only if there is nothing.
func TestAheadGivesWhatTheFeedWould(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		log := &numbers{last: rapid.Int64Range(0, 5000).Draw(t, "events")}
		limit := rapid.SampledFrom([]int{1, 7, 500, 1999, 2000, 2001}).Draw(t, "limit")
		a := ahead{feed: log, opts: es.FeedOptions{MaxEvents: limit}}
		at := es.Checkpoint("")
		for range rapid.IntRange(1, 20).Draw(t, "reads") {
			failing := false
			switch rapid.SampledFrom([]string{"", "", "", "grow", "jump", "fail"}).Draw(t, "between") {
			case "grow":
				log.set(func(l *numbers) { l.last += 3 })
			case "jump":
				at = checkpointAt(rapid.Int64Range(0, log.last).Draw(t, "to"))
			case "fail":
				failing = true
			}
			log.set(func(l *numbers) { l.failing = failing })
			b, err := a.read(t.Context(), at)
			if err != nil {
				if !failing {
					t.Fatal(err)
				}
				at = checkpointAt(position(at) / 2) // as from the stored checkpoint
				continue
			}
			if len(b.Events) > limit || len(b.Events) == 0 && position(at) < log.last {
				t.Fatalf("%d events behind %s of %d", len(b.Events), at, log.last)
			}
			for i, e := range b.Events {
				if e.Position != position(at)+int64(i)+1 || position(b.Prefix(i)) != e.Position-1 {
					t.Fatalf("event %d behind %s is %d, behind %s", i, at, e.Position, b.Prefix(i))
				}
			}
			if position(b.Next) != position(at)+int64(len(b.Events)) {
				t.Fatalf("%d events behind %s end at %s", len(b.Events), at, b.Next)
			}
			at = b.Next
		}
	})
}

// The next events are being read when a batch is returned, although the context of
// that read has ended, and no longer than they may.
func TestAheadReadsWhileTheCallerWorks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var begun []int64
		log := &numbers{last: 100}
		log.began = func(ctx context.Context, behind int64) {
			log.set(func(*numbers) { begun = append(begun, behind) })
			if behind > 0 {
				<-ctx.Done() // a server that does not answer
			}
		}
		a := ahead{feed: log, opts: es.FeedOptions{MaxEvents: 10}}
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := a.read(ctx, ""); err != nil {
			t.Fatal(err)
		}
		cancel()
		synctest.Wait()
		if len(begun) != 2 || begun[1] != 10 {
			t.Fatalf("reads began behind %v, want 0 and 10", begun)
		}
		select {
		case <-a.next.ahead[0].done:
			t.Error("the reading ended with the context of the poll")
		default:
		}
		a.next.ended.Wait() // or the test hangs
	})
}

// That nothing was there when the log was read ahead is no news of now.
func TestAheadForgetsThatThereWasNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &numbers{last: 10}
		a := ahead{feed: log, opts: es.FeedOptions{MaxEvents: 10}}
		first, err := a.read(t.Context(), "")
		if err != nil || !first.More {
			t.Fatalf("more %v, %v", first.More, err)
		}
		synctest.Wait() // until it is read ahead
		log.set(func(l *numbers) { l.last += 3 })
		if next, err := a.read(t.Context(), first.Next); err != nil || len(next.Events) != 3 {
			t.Errorf("%d events, want 3, %v", len(next.Events), err)
		}
	})
}

// No more is ahead than may be, and as much again when some of it was taken.
func TestAheadKeepsSoMuchReady(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var begun []int64
		log := &numbers{last: 10 * aheadEvents}
		log.began = func(_ context.Context, behind int64) { log.set(func(*numbers) { begun = append(begun, behind) }) }
		a := ahead{feed: log, opts: es.FeedOptions{MaxEvents: aheadEvents}}
		at := es.Checkpoint("")
		for taken := range 4 {
			b, err := a.read(t.Context(), at)
			if err != nil || len(b.Events) != aheadEvents {
				t.Fatalf("%d events, %v", len(b.Events), err)
			}
			at = b.Next
			synctest.Wait()
			if want := 1 + taken + aheadReads; len(begun) != want || begun[want-1] != int64(want-1)*aheadEvents {
				t.Errorf("after %d batches reads had begun behind %v, want %d of them", taken+1, begun, want)
			}
		}
	})
}
