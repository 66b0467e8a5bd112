package subscribe_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peatlog/peat/aggregate"
	"github.com/peatlog/peat/codec"
	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/backends"
	"github.com/peatlog/peat/subscribe"
)

// Two aggregates have an event of one name, and the invoice has one more, and older forms.
type (
	orderEvent interface {
		es.Event
		isOrder()
	}
	invoiceEvent interface {
		es.Event
		isInvoice()
	}
	orderCreated   struct{ Total int }
	invoiceCreated struct{ Total int }
	invoicePaid    struct{ Total int }
	paidV1         struct{ Francs int }
	state[E any]   struct{ N int }
)

func (orderCreated) EventType() string   { return "created" }
func (orderCreated) isOrder()            {}
func (invoiceCreated) EventType() string { return "created" }
func (invoiceCreated) isInvoice()        {}
func (invoicePaid) EventType() string    { return "paid.v2" }
func (invoicePaid) isInvoice()           {}
func (s *state[E]) Apply(E)              { s.N++ }

var (
	createdOrder   = codec.Case(func(e orderCreated) orderEvent { return e })
	createdInvoice = codec.Case(func(e invoiceCreated) invoiceEvent { return e })
	paidInvoice    = codec.Case(func(e invoicePaid) invoiceEvent { return e })
	orders         = aggregate.Define("order", codec.NewUnion(createdOrder), func() *state[orderEvent] { return new(state[orderEvent]) })
	invoices       = aggregate.Define("invoice", codec.NewUnion(createdInvoice, paidInvoice,
		codec.Legacy("paid", func(e paidV1) invoiceEvent { return invoicePaid{e.Francs * 100} }),
		codec.Legacy("changed", func(e paidV1) invoiceEvent { // split by content
			if e.Francs == 0 {
				return invoiceCreated{}
			}
			return invoicePaid{e.Francs * 100}
		})), func() *state[invoiceEvent] { return new(state[invoiceEvent]) })
)

// heard is what handlers have got, in order.
type heard struct {
	mu  sync.Mutex
	all []string
}

func (s *heard) add(e any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, fmt.Sprintf("%T%v", e, e))
}

func (s *heard) get() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.all...)
}

func each[E es.Event](s *heard, events subscribe.Events[E]) subscribe.Handler[subscribe.None] {
	return subscribe.Each(events, subscribe.Func[E](func(_ context.Context, e es.Envelope[E]) error {
		s.add(e.Event)
		return nil
	}))
}

// delivered runs a consumer until it has what is in the log, and returns what it got.
func delivered(t *testing.T, store subscribe.RunnerStore, s *heard, c subscribe.Consumer, last es.AppendResult) []string {
	t.Helper()
	r, err := subscribe.NewRunner(store, quick(t), c)
	if err != nil {
		t.Fatal(err)
	}
	stop := start(t, r)
	defer stop()
	if err := r.WaitFor(t.Context(), c.Name, last); err != nil {
		t.Fatal(err)
	}
	return s.get()
}

// A handler gets the events of its own aggregate, whatever others call theirs; the filter
// follows from the handlers.
func TestEventsGoToTheHandlerOfTheirCategory(t *testing.T) {
	t.Parallel()
	inBothStores(t, func(t *testing.T, store subscribe.RunnerStore, log es.Store) {
		var last es.AppendResult
		for _, e := range []struct{ category, name, data string }{
			{"order", "created", `{"Total": 1}`}, {"invoice", "created", `{"Total": 2}`}, {"invoice", "paid", `{"Francs": 3}`},
			{"other", "created", `{"Total": 4}`}, {"order", "created", `{"Total": 5}`},
		} {
			var err error
			if last, err = log.Append(t.Context(), es.StreamID{Category: e.category, Key: "1"}, es.Any, es.EventData{Type: e.name, Data: []byte(e.data)}); err != nil {
				t.Fatal(err)
			}
		}
		for name, c := range map[string]struct {
			consumer func(s *heard) subscribe.Consumer
			want     []string
		}{
			"both": {func(s *heard) subscribe.Consumer {
				return subscribe.Consumer{Delivery: subscribe.AtLeastOnce(each(s, orders.Events()), each(s, invoices.Events()))}
			}, []string{"subscribe_test.orderCreated{1}", "subscribe_test.invoiceCreated{2}", "subscribe_test.invoicePaid{300}", "subscribe_test.orderCreated{5}"}},
			"one": {func(s *heard) subscribe.Consumer {
				return subscribe.Consumer{Delivery: subscribe.AtLeastOnce(each(s, orders.Events()))}
			}, []string{"subscribe_test.orderCreated{1}", "subscribe_test.orderCreated{5}"}},
			"one that skips": {func(s *heard) subscribe.Consumer {
				return subscribe.Consumer{SkipUnknown: true, Delivery: subscribe.AtLeastOnce(each(s, orders.Events()))}
			}, []string{"subscribe_test.orderCreated{1}", "subscribe_test.orderCreated{5}"}},
			"a part, and all of another": {func(s *heard) subscribe.Consumer {
				return subscribe.Consumer{Delivery: subscribe.AtLeastOnce(each(s, codec.Part(invoices.Events(), createdInvoice)), each(s, orders.Events()))}
			}, []string{"subscribe_test.orderCreated{1}", "subscribe_test.invoiceCreated{2}", "subscribe_test.orderCreated{5}"}},
			"any category, by its own union": {func(s *heard) subscribe.Consumer {
				return subscribe.Consumer{
					Filter:   es.Filter{Categories: []string{"order", "other"}},
					Delivery: subscribe.AtLeastOnce(each(s, codec.NewUnion(createdOrder))),
				}
			}, []string{"subscribe_test.orderCreated{1}", "subscribe_test.orderCreated{4}", "subscribe_test.orderCreated{5}"}},
		} {
			var s heard
			consumer := c.consumer(&s)
			consumer.Name = name
			if diff := cmp.Diff(c.want, delivered(t, store, &s, consumer, last)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	})
}

// A projection on some of an aggregate's events reads their older forms as the aggregate
// does.
func TestPartOfTheEventsKeepsTheOlderForms(t *testing.T) {
	t.Parallel()
	inBothStores(t, func(t *testing.T, store subscribe.RunnerStore, log es.Store) {
		var last es.AppendResult
		for _, e := range []string{`created {"Total": 1}`, `paid {"Francs": 2}`, `changed {"Francs": 0}`, `changed {"Francs": 3}`, `paid.v2 {"Total": 4}`, `created {"Total": 5}`} {
			name, data, _ := strings.Cut(e, " ")
			var err error
			if last, err = log.Append(t.Context(), es.StreamID{Category: "invoice", Key: "1"}, es.Any, es.EventData{Type: name, Data: []byte(data)}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := log.Append(t.Context(), es.StreamID{Category: "order", Key: "1"}, es.Any, es.EventData{Type: "created", Data: []byte(`{"Total": 9}`)}); err != nil {
			t.Fatal(err)
		}
		paid := codec.Part(invoices.Events(), paidInvoice)
		want := []string{"subscribe_test.invoicePaid{200}", "subscribe_test.invoicePaid{300}", "subscribe_test.invoicePaid{4}"}
		var one, batches heard
		if diff := cmp.Diff(want, delivered(t, store, &one, subscribe.Consumer{Name: "each", Delivery: subscribe.AtLeastOnce(each(&one, paid))}, last)); diff != "" {
			t.Errorf("each (-want +got):\n%s", diff)
		}
		inBatches := subscribe.Batch(paid, func(_ context.Context, batch []es.Envelope[invoiceEvent]) error {
			for _, e := range batch {
				batches.add(e.Event)
			}
			return nil
		})
		if diff := cmp.Diff(want, delivered(t, store, &batches, subscribe.Consumer{Name: "batch", Delivery: subscribe.AtLeastOnce(inBatches)}, last)); diff != "" {
			t.Errorf("batch (-want +got):\n%s", diff)
		}
		for events, n := range map[es.Decoder[invoiceEvent]]int{paid: 3, invoices.Events(): 6} {
			var all heard
			for e, err := range subscribe.All(t.Context(), store, events, subscribe.Options{}) {
				if err != nil {
					t.Fatal(err)
				}
				all.add(e.Event)
			}
			if diff := cmp.Diff(want, all.get()); n == 3 && diff != "" || len(all.get()) != n {
				t.Errorf("all %d events, want %d (-want +got):\n%s", len(all.get()), n, diff)
			}
		}
	})
}

func TestHandlersThatWouldTakeTheWrongEventsAreRefused(t *testing.T) {
	t.Parallel()
	store := backends.NewSQLite(t).Store
	var s heard
	for name, c := range map[string]struct {
		consumer subscribe.Consumer
		want     string
	}{
		"two of one name": {
			subscribe.Consumer{Delivery: subscribe.AtLeastOnce(each(&s, codec.NewUnion(createdOrder)), each(&s, codec.NewUnion(createdInvoice)))},
			`two handlers take events "created"; if they are of two aggregates, make each handler from the Events of its Definition`,
		},
		"one of any category": {
			subscribe.Consumer{Delivery: subscribe.AtLeastOnce(each(&s, orders.Events()), each(&s, codec.NewUnion(createdInvoice)))},
			`two handlers take events "created"`,
		},
		"skipping older forms": {
			subscribe.Consumer{SkipUnknown: true, Filter: es.Filter{Categories: []string{"invoice"}}, Delivery: subscribe.AtLeastOnce(each(&s, codec.NewUnion(paidInvoice)))},
			"SkipUnknown would pass by the older forms of events that the handlers know",
		},
		"a category of nobody": {
			subscribe.Consumer{Filter: es.Filter{Categories: []string{"order", "invoice"}}, Delivery: subscribe.AtLeastOnce(each(&s, orders.Events()))},
			`Filter.Categories names "invoice", of which no handler knows any event`,
		},
		"all categories": {
			subscribe.Consumer{Delivery: subscribe.Transactional(store, subscribe.EachIn(codec.NewUnion(createdOrder), func(context.Context, *sql.Tx, es.Envelope[orderEvent]) error { return nil }))},
			"the Filter selects all categories",
		},
	} {
		c.consumer.Name = "c"
		if _, err := subscribe.NewRunner(store, subscribe.RunnerOptions{}, c.consumer); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want %q in it", name, err, c.want)
		}
	}
}
