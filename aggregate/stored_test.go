package aggregate_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unique"

	"github.com/google/go-cmp/cmp"

	"github.com/peatlog/peat/aggregate"
	"github.com/peatlog/peat/aggregate/aggregatetest"
	"github.com/peatlog/peat/codec"
	"github.com/peatlog/peat/codec/cbor"
	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/estest"
	"github.com/peatlog/peat/internal/backends"
)

// The events of these tests are a host's.
type hostEvent interface {
	es.Event
	isHost()
}

type (
	named struct{ Name string }
	lined struct{ Lines []string }
	moved struct{ From, To netip.Addr }
	// rounded keeps whole francs only when it is stored.
	rounded struct{ Cents int }
	// cursed is an event that the fold does not bear.
	cursed struct{ N int }
)

func (named) EventType() string   { return "host.named" }
func (lined) EventType() string   { return "host.lined" }
func (moved) EventType() string   { return "host.moved" }
func (rounded) EventType() string { return "host.rounded" }
func (cursed) EventType() string  { return "host.cursed" }
func (named) isHost()             {}
func (lined) isHost()             {}
func (moved) isHost()             {}
func (rounded) isHost()           {}
func (cursed) isHost()            {}

func (r rounded) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%d", r.Cents/100), nil }
func (r *rounded) UnmarshalText(text []byte) error {
	_, err := fmt.Sscan(string(text), &r.Cents)
	r.Cents *= 100
	return err
}

var errGone = errors.New("the host is gone")

// host is a state of values whose identity is a pointer, and of things that change.
type host struct {
	Names   []string
	Addr    netip.Addr
	Zone    *time.Location
	Tag     unique.Handle[string]
	Refusal error
	Cents   int
	Lines   map[string]*[]string
}

func (h *host) Apply(e hostEvent) {
	switch e := e.(type) {
	case named:
		h.Names = append(h.Names, e.Name)
	case lined:
		h.Lines["all"] = &e.Lines
	case moved:
		h.Addr, h.Zone, h.Tag, h.Refusal = e.To, time.UTC, unique.Make(e.To.String()), errGone
	case rounded:
		h.Cents += e.Cents
	case cursed:
		panic(errGone)
	}
}

// move decides by values that a bad copy would have changed.
func (h *host) move(to netip.Addr) ([]hostEvent, error) {
	if h.Addr == to && h.Tag == unique.Make(to.String()) && errors.Is(h.Refusal, errGone) && h.Zone == time.UTC {
		return nil, nil
	}
	return []hostEvent{moved{From: h.Addr, To: to}}, nil
}

var (
	hostEvents = codec.NewUnion(
		codec.Case(func(e named) hostEvent { return e }), codec.Case(func(e lined) hostEvent { return e }),
		codec.Case(func(e moved) hostEvent { return e }), codec.Case(func(e rounded) hostEvent { return e }),
		codec.Case(func(e cursed) hostEvent { return e }),
	)
	hosts = aggregate.Define("host", hostEvents, func() *host { return &host{Lines: map[string]*[]string{}} })
)

type hostRepository = aggregate.Repository[*host, hostEvent]

// recording are all ways to record events and save them.
func recording(b estest.Backend) map[string]func(ctx context.Context, repo *hostRepository, key string, decide func(*host) ([]hostEvent, error)) error {
	return map[string]func(ctx context.Context, repo *hostRepository, key string, decide func(*host) ([]hostEvent, error)) error{
		"Execute": func(ctx context.Context, repo *hostRepository, key string, decide func(*host) ([]hostEvent, error)) error {
			_, err := repo.Execute(ctx, key, decide)
			return err
		},
		"Save": func(ctx context.Context, repo *hostRepository, key string, decide func(*host) ([]hostEvent, error)) error {
			r, err := repo.LoadOrNew(ctx, key)
			if err != nil {
				return err
			}
			events, err := decide(r.State())
			if err != nil {
				return err
			}
			r.Record(events...)
			return repo.Save(ctx, r)
		},
		"Execute in a transaction": func(ctx context.Context, repo *hostRepository, key string, decide func(*host) ([]hostEvent, error)) error {
			return b.InTx(ctx, func(tx es.Tx) error {
				_, err := repo.In(tx).Execute(ctx, key, decide)
				return err
			})
		},
	}
}

func deciding(events ...hostEvent) func(*host) ([]hostEvent, error) {
	return func(*host) ([]hostEvent, error) { return events, nil }
}

// What cannot be read back is not stored, in whatever way and format: nothing of the
// decision is, and the stream stays readable.
func TestNothingIsStoredThatCannotBeReadBack(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		binary := aggregate.Define("picture", hostEvents.WithFormat(cbor.Format), func() *host { return new(host) })
		for format, repo := range map[string]*hostRepository{"json": aggregate.NewRepository(b.Store, hosts), "cbor": aggregate.NewRepository(b.Store, binary)} {
			for way, record := range recording(b) {
				key := format + " " + way
				if err := record(t.Context(), repo, key, deciding(named{"good"})); err != nil {
					t.Fatal(err)
				}
				err := record(t.Context(), repo, key, deciding(named{"before"}, named{"M\xfcller"}, named{"after"}))
				if !errors.Is(err, codec.ErrMalformed) {
					t.Errorf("%s: got error %v, want ErrMalformed", key, err)
				}
				r, err := repo.Load(t.Context(), key)
				if err != nil || r.Version() != 1 {
					t.Errorf("%s: stored at version %d, %v", key, r.Version(), err)
				}
			}
		}
	})
}

// The state is that of what is stored, also where that is not what was recorded.
func TestStateIsOfWhatIsStored(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		repo := aggregate.NewRepository(b.Store, hosts).WithStateCache(10)
		for way, record := range recording(b) {
			for range 2 {
				if err := record(t.Context(), repo, way, deciding(rounded{150}, rounded{250})); err != nil {
					t.Fatal(err)
				}
			}
			seen := -1
			if err := record(t.Context(), repo, way, func(h *host) ([]hostEvent, error) { seen = h.Cents; return nil, nil }); err != nil || seen != 600 {
				t.Errorf("%s: decided on %d cents, %v; want 600", way, seen, err)
			}
		}
		r, err := hosts.New("pending")
		if err != nil {
			t.Fatal(err)
		}
		r.Record(rounded{150})
		if r.State().Cents != 100 || !cmp.Equal(r.Pending(), []hostEvent{rounded{100}}) {
			t.Errorf("recorded %d cents, pending %v", r.State().Cents, r.Pending())
		}
	})
}

// A caller may use the memory of an event again.
func TestRecordedEventIsTheCallersAgain(t *testing.T) {
	t.Parallel()
	store := backends.NewSQLite(t).Store
	repo := aggregate.NewRepository(store, hosts)
	r, err := hosts.New("1")
	if err != nil {
		t.Fatal(err)
	}
	buffer := []string{"one"}
	r.Record(lined{buffer})
	buffer[0] = "two"
	r.Record(lined{buffer})
	buffer[0] = "three"
	if err := repo.Save(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	var stored []string
	for rec, err := range store.ReadStream(t.Context(), r.Stream(), es.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, string(rec.Data))
	}
	if diff := cmp.Diff([]string{`{"Lines":["one"]}`, `{"Lines":["two"]}`}, stored); diff != "" || (*r.State().Lines["all"])[0] != "two" {
		t.Errorf("state %v, stored (-want +got):\n%s", *r.State().Lines["all"], diff)
	}
}

// Decisions see the state as a load makes it, and what they do to it concerns nobody else:
// neither the log, nor later decisions, nor the roots of other callers, nor a snapshot.
func TestDecisionsWorkOnFaithfulCopies(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		for kind, repo := range map[string]*hostRepository{"plain": aggregate.NewRepository(b.Store, hosts), "cached": aggregate.NewRepository(b.Store, hosts).WithStateCache(10)} {
			for way, record := range recording(b) {
				if way == "Save" { // decides on the root's own state
					continue
				}
				key := kind + " " + way
				here := netip.MustParseAddr("10.0.0.1")
				vandal := func(h *host) ([]hostEvent, error) {
					events, err := h.move(here)
					h.Names, h.Addr, h.Lines["all"], h.Cents = append(h.Names, "nobody"), netip.Addr{}, nil, -1
					return events, err
				}
				for range 3 {
					if err := record(t.Context(), repo, key, vandal); err != nil {
						t.Fatal(err)
					}
				}
				r, err := repo.Load(t.Context(), key)
				if err != nil || r.Version() != 1 || r.State().Addr != here || len(r.State().Names) > 0 {
					t.Errorf("%s: version %d, %+v, %v", key, r.Version(), r.State(), err)
				}
				root, err := repo.Execute(t.Context(), key, vandal)
				if err != nil || root.State().Addr != here || len(root.State().Names) > 0 || root.State().Cents != 0 {
					t.Errorf("%s: returned %+v, %v", key, root.State(), err)
				}
				err = b.InTx(t.Context(), func(tx es.Tx) (err error) {
					root, err = repo.In(tx).Execute(t.Context(), key, vandal)
					return err
				})
				if err != nil || root.State().Addr != here || len(root.State().Names) > 0 || root.State().Cents != 0 {
					t.Errorf("%s: returned in a transaction %+v, %v", key, root.State(), err)
				}
			}
		}
	})
	aggregatetest.For(t, hosts).
		Given(moved{To: netip.MustParseAddr("10.0.0.1")}).
		When(func(h *host) ([]hostEvent, error) { return h.move(netip.MustParseAddr("10.0.0.1")) }).
		Then()
}

// Each caller has a root of its own, whose state is that after its own command.
func TestRootsOfConcurrentCallsAreTheirOwn(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		for _, cache := range []int{0, 10} {
			repo := aggregate.NewRepository(b.Store, hosts).WithStateCache(cache)
			key := strconv.Itoa(cache)
			var all sync.WaitGroup
			for i := range 16 {
				all.Go(func() {
					for j := range 10 {
						r, err := repo.Execute(t.Context(), key, func(h *host) ([]hostEvent, error) {
							if j%5 == 4 {
								return nil, nil
							}
							return []hostEvent{named{fmt.Sprint(i, "-", j)}, named{fmt.Sprint("second ", len(h.Names))}}, nil
						})
						if err != nil {
							t.Error(err)
							return
						}
						if n := len(r.State().Names); int64(n) != r.Version() || j%5 != 4 && r.State().Names[n-2] != fmt.Sprint(i, "-", j) {
							t.Errorf("version %d with %d names, the last ones %v", r.Version(), n, r.State().Names[max(n-2, 0):])
						}
						r.State().Names = append(r.State().Names[:0], "scribbled") // its owner may
					}
				})
			}
			all.Wait()
			r, err := repo.Load(t.Context(), key)
			if err != nil || r.Version() != 16*8*2 {
				t.Errorf("version %d, %v", r.Version(), err)
			}
			for i, name := range r.State().Names {
				if i%2 == 1 && name != fmt.Sprint("second ", i-1) {
					t.Errorf("name %d is %q: decided on another state", i, name)
				}
			}
		}
	})
}

// A state that cannot be copied is refused at start-up, with what to do.
func TestStateThatCannotBeCopiedIsRefused(t *testing.T) {
	t.Parallel()
	refused := func(define func(), all ...string) {
		t.Helper()
		defer func() {
			t.Helper()
			message := fmt.Sprint(recover())
			for _, want := range all {
				if !strings.Contains(message, want) {
					t.Errorf("panics with %q, want %q in it", message, want)
				}
			}
		}()
		define()
	}
	refused(func() { aggregate.Define("stuck", hostEvents, func() *stuck { return new(stuck) }) },
		"aggregate.Define: ", "implement Clone() *aggregate_test.stuck", "stuck.mu is a sync.Mutex", "stuck.updates is a chan int")
	refused(func() {
		aggregate.Define("host", hostEvents, func() aggregate.Aggregate[hostEvent] { return new(host) })
	},
		"it is an interface: use the type behind it as the state")
}

type stuck struct {
	mu      sync.Mutex
	updates chan int
}

func (s *stuck) Apply(hostEvent) { s.mu.Lock(); close(s.updates) }

// phased holds a sentinel behind an interface.
type phased struct{ Phase fmt.Stringer }

type phase struct{ name string }

func (p *phase) String() string { return p.name }

var open = &phase{"open"}

func (p *phased) Apply(hostEvent) { p.Phase = open }

// Where nobody knows what a pointer stands for, Execute says so and writes nothing.
func TestPointerBehindAnInterfaceNeedsClone(t *testing.T) {
	t.Parallel()
	def := aggregate.Define("phased", hostEvents, func() *phased { return new(phased) })
	repo := aggregate.NewRepository(backends.NewSQLite(t).Store, def).WithStateCache(1)
	say := func(*phased) ([]hostEvent, error) { return []hostEvent{named{"n"}}, nil }
	if _, err := repo.Execute(t.Context(), "1", say); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err := repo.Execute(t.Context(), "1", say)
		if err == nil || !strings.Contains(err.Error(), "implement Clone() *aggregate_test.phased: aggregate_test.phased.Phase: *aggregate_test.phase behind an interface") {
			t.Errorf("got error %v", err)
		}
	}
	if r, err := repo.Load(t.Context(), "1"); err != nil || r.Version() != 1 || r.State().Phase != open {
		t.Errorf("%v, %v", r, err)
	}
}

// copies counts the copies of its state.
type copies struct {
	N     int
	made  *int
	Items map[string]int
}

func (c *copies) Apply(hostEvent) { c.N++ }
func (c *copies) Clone() *copies {
	*c.made++
	return &copies{N: c.N, made: c.made}
}

// A large state is copied once for a call, or little more often.
func TestACallCopiesItsStateOnce(t *testing.T) {
	t.Parallel()
	for name, cache := range map[string]int{"without a cache": 0, "with a cache": 1} {
		made := 0
		def := aggregate.Define("copies", hostEvents, func() *copies { return &copies{made: &made} })
		repo := aggregate.NewRepository(backends.NewSQLite(t).Store, def).WithStateCache(cache)
		const calls = 100
		for range calls {
			if _, err := repo.Execute(t.Context(), "1", func(*copies) ([]hostEvent, error) { return []hostEvent{named{"n"}}, nil }); err != nil {
				t.Fatal(err)
			}
		}
		if made > calls+calls/10 {
			t.Errorf("%s: %d calls have copied the state %d times", name, calls, made)
		}
		t.Logf("%s: %d calls have copied the state %d times", name, calls, made)
	}
}
