package proptest

import (
	"reflect"
	"strings"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/peatlog/peat/es"
)

// EventCase is one type of event with a generator of values of it. [Case] makes one.
type EventCase[E es.Event] struct {
	name   string
	values *rapid.Generator[E]
}

// Case is the case of an event type T. Without a generator its values are drawn by the
// exported fields of the type, as rapid.Make does, with strings that a store can hold
// (no NUL); with some, the generators' are taken.
// The function only converts T to the interface of the events, as with codec.Case.
func Case[T es.Event, E es.Event](wrap func(T) E, values ...*rapid.Generator[T]) EventCase[E] {
	var zero T
	from := rapid.MakeCustom[T](storable)
	if len(values) > 0 {
		from = rapid.OneOf(values...)
	}
	return EventCase[E]{name: zero.EventType(), values: rapid.Map(from, wrap)}
}

// storable draws what every store can hold.
var storable = rapid.MakeConfig{Kinds: map[reflect.Kind]*rapid.Generator[any]{
	reflect.String: rapid.Map(rapid.String(), func(s string) string { return strings.ReplaceAll(s, "\x00", "") }).AsAny(),
}}

// Events are all cases of a union: what the laws draw histories from.
type Events[E es.Event] []EventCase[E]

// Any draws an event of any case.
func (e Events[E]) Any() *rapid.Generator[E] {
	cases := make([]*rapid.Generator[E], len(e))
	for i, c := range e {
		cases[i] = c.values
	}
	return rapid.OneOf(cases...)
}

// Sequences draws any events in any order, whether or not an aggregate could bring them
// about.
func (e Events[E]) Sequences() *rapid.Generator[[]E] { return rapid.SliceOfN(e.Any(), 0, 20) }

// diff compares everything, unexported fields included. An empty slice or map is a nil
// one, which formats do not tell apart.
func diff[T any](want, got T) string {
	return cmp.Diff(want, got, cmp.Exporter(func(reflect.Type) bool { return true }), cmpopts.EquateEmpty())
}

// guard runs f and returns what it panics with, nil for nothing.
func guard(f func()) (panicked any) {
	defer func() { panicked = recover() }()
	f()
	return nil
}
