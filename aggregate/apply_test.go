package aggregate_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peatlog/peat/aggregate"
	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/estest"
	"github.com/peatlog/peat/internal/backends"
)

// Whoever meets an event that Apply panics on learns which one it is; nobody is left
// waiting, and nothing is written.
func TestApplyThatPanicsIsAnError(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		repo := aggregate.NewRepository(b.Store, hosts)
		stream := es.StreamID{Category: "host", Key: "stored"}
		if _, err := b.Store.Append(t.Context(), stream, es.NoStream, es.EventData{Type: "host.named", Data: []byte(`{}`)}, es.EventData{Type: "host.cursed", Data: []byte(`{}`)}); err != nil {
			t.Fatal(err)
		}
		want := func(way string, err error, version int64) {
			t.Helper()
			e, ok := errors.AsType[*aggregate.ApplyError](err)
			if !ok || !errors.Is(err, aggregate.ErrApply) || !errors.Is(err, errGone) || errors.Is(err, es.ErrOutcomeUnknown) ||
				e.Stream.Category != "host" || e.Version != version || e.Type != "host.cursed" || !strings.Contains(e.Stack, "(*host).Apply") {
				t.Errorf("%s: got error %v", way, err)
			}
		}
		_, err := repo.Load(t.Context(), "stored")
		want("Load", err, 2)
		for way, record := range recording(b) {
			want(way, record(t.Context(), repo, "stored", deciding()), 2)
			want(way+", decided", record(t.Context(), repo, "decided "+way, deciding(named{"a"}, cursed{1}, named{"b"})), 2)
			if _, err := repo.Load(t.Context(), "decided "+way); !errors.Is(err, es.ErrStreamNotFound) {
				t.Errorf("%s: something was stored: %v", way, err)
			}
		}
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				_, err := repo.Execute(ctx, "stored", deciding())
				want("at once", err, 2)
			})
		}
		all.Wait()
	})
}

// Among calls that share an append, only the one whose event the fold does not bear fails.
func TestApplyThatPanicsConcernsItsCallAlone(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		repo := aggregate.NewRepository(b.Store, hosts)
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				events := []hostEvent{named{strconv.Itoa(i)}}
				if i%4 == 0 {
					events = append(events, cursed{i})
				}
				_, err := repo.Execute(t.Context(), "1", deciding(events...))
				if (i%4 == 0) != errors.Is(err, aggregate.ErrApply) || i%4 != 0 && err != nil {
					t.Errorf("call %d: %v", i, err)
				}
			})
		}
		all.Wait()
		if r, err := repo.Load(t.Context(), "1"); err != nil || r.Version() != 15 {
			t.Errorf("version %d, %v", r.Version(), err)
		}
	})
}

// clumsy is a state whose own code panics, where it is made and where it is copied.
type clumsy struct{ N int }

func (c *clumsy) Apply(hostEvent) { c.N++ }
func (c *clumsy) Clone() *clumsy {
	if c.N > 0 {
		panic(errGone)
	}
	return &clumsy{}
}

// Code of the user's that panics before anything is sent is an error, not an unknown outcome.
func TestPanicBeforeAnythingIsSent(t *testing.T) {
	t.Parallel()
	store := backends.NewSQLite(t).Store
	for name, empty := range map[string]func() *clumsy{
		"Clone": func() *clumsy { return new(clumsy) }, "empty": func() *clumsy { panic(errGone) },
	} {
		repo := aggregate.NewRepository(store, aggregate.Define("clumsy", hostEvents, empty)).WithStateCache(1)
		var last error
		for range 3 {
			_, last = repo.Execute(t.Context(), name, func(*clumsy) ([]hostEvent, error) { return []hostEvent{named{"n"}}, nil })
		}
		if !errors.Is(last, errGone) || errors.Is(last, es.ErrOutcomeUnknown) || !strings.Contains(last.Error(), "nothing was written") || !strings.Contains(last.Error(), "apply_test.go") {
			t.Errorf("%s: got error %v", name, last)
		}
	}
}

// shelf is a state whose map is only there if a decision has made it, which it must not.
type shelf struct{ Books map[string]int }

func (s *shelf) Apply(e hostEvent) {
	if e, ok := e.(named); ok && e.Name != "" {
		s.Books[e.Name]++
	}
}

// A round that is given up half way, because a decision has hidden what its event does to the
// fold, leaves nothing behind: the commands before it land when they decide again.
func TestAbortedRoundLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		repo := aggregate.NewRepository(b.Store, aggregate.Define("shelf", hostEvents, func() *shelf { return new(shelf) }))
		gate, held := make(chan struct{}), make(chan struct{})
		errs := make([]error, 4)
		var all sync.WaitGroup
		execute := func(ctx context.Context, i int, decide func(*shelf) ([]hostEvent, error)) {
			all.Go(func() { _, errs[i] = repo.Execute(ctx, "1", decide) })
		}
		id := es.StreamID{Category: "shelf", Key: "1"}
		execute(t.Context(), 0, func(*shelf) ([]hostEvent, error) {
			close(held)
			<-gate
			return nil, nil
		})
		<-held
		for i, decide := range []func(*shelf) ([]hostEvent, error){
			func(*shelf) ([]hostEvent, error) { return []hostEvent{named{}}, nil },
			func(s *shelf) ([]hostEvent, error) {
				s.Books = map[string]int{} // only here
				return []hostEvent{named{"a"}}, nil
			},
			func(*shelf) ([]hostEvent, error) { return []hostEvent{named{}}, nil },
		} {
			execute(es.WithCommandID(t.Context(), fmt.Sprint("command ", i)), i+1, decide)
			for aggregate.Waiting(repo, id) < i+1 {
				time.Sleep(100 * time.Microsecond) // a poll; the test's own deadline ends it
			}
		}
		close(gate)
		all.Wait()
		if errs[0] != nil || errs[1] != nil || !errors.Is(errs[2], aggregate.ErrApply) || errs[3] != nil {
			t.Errorf("got errors %v", errs)
		}
		n := 0
		for _, err := range b.Store.ReadStream(t.Context(), id, es.ReadOptions{}) {
			if n++; err != nil {
				t.Fatal(err)
			}
		}
		if n != 2 {
			t.Errorf("%d events are stored, want those of two commands", n)
		}
	})
}
