// Package aggregatetest tests the decisions of an aggregate without a store:
// given what has happened, when something is asked for, then this happens.
//
//	aggregatetest.For(t, account.Accounts).
//		Given(account.Opened{Holder: "Ann"}, account.Deposited{Amount: 100}).
//		When(func(a *account.Account) ([]account.Event, error) { return a.Withdraw(30) }).
//		Then(account.Withdrawn{Amount: 30})
//
// On the way it checks what every aggregate owes its store: each event is a
// case of the union and survives encoding, the fold is deterministic, and a
// decision leaves the state alone.
package aggregatetest

import (
	"errors"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peatlog/peat/aggregate"
	"github.com/peatlog/peat/es"
)

// Scenario is what has happened so far.
type Scenario[A aggregate.Aggregate[E], E es.Event] struct {
	t     testing.TB
	def   *aggregate.Definition[A, E]
	given []E
}

// For begins a scenario with an aggregate without events.
func For[A aggregate.Aggregate[E], E es.Event](t testing.TB, def *aggregate.Definition[A, E]) *Scenario[A, E] {
	return &Scenario[A, E]{t: t, def: def}
}

// Given adds events that have happened.
func (s *Scenario[A, E]) Given(events ...E) *Scenario[A, E] {
	s.t.Helper()
	for _, e := range events {
		s.given = append(s.given, s.stored(e))
	}
	return s
}

// When decides on the state that the given events make.
func (s *Scenario[A, E]) When(decide func(A) ([]E, error)) *Outcome[A, E] {
	s.t.Helper()
	now := s.fold()
	state, err := s.def.Clone(now)
	if err != nil {
		s.t.Fatal(err)
	}
	events, err := decide(state)
	if diff := diff(now, state); diff != "" {
		s.t.Errorf("the decision changed the state; only events may (-before +after):\n%s", diff)
	}
	return &Outcome[A, E]{scenario: s, events: events, err: err}
}

// fold returns the state after the given events.
func (s *Scenario[A, E]) fold() A {
	s.t.Helper()
	root, err := s.def.New("test")
	if err != nil {
		s.t.Fatal(err)
	}
	if root.Record(s.given...); root.Err() != nil {
		s.t.Fatal(root.Err())
	}
	return root.State()
}

// stored returns the event as it comes back from a store.
func (s *Scenario[A, E]) stored(e E) E {
	s.t.Helper()
	name, data, binary, err := s.def.Events().Encode(e)
	if err != nil {
		s.t.Fatalf("event %T cannot be stored: %v", e, err)
	}
	back, err := s.def.Events().Decode(name, data, binary)
	if err != nil {
		s.t.Fatalf("event %T cannot be read back: %v", e, err)
	}
	if diff := diff(e, back); diff != "" {
		s.t.Errorf("event %T does not survive storing (-recorded +read):\n%s", e, diff)
	}
	return back
}

// Outcome is what a decision answered.
type Outcome[A aggregate.Aggregate[E], E es.Event] struct {
	scenario *Scenario[A, E]
	events   []E
	err      error
}

// Then wants the decision to answer exactly these events, none of them for
// Then(), and returns the state after them.
func (o *Outcome[A, E]) Then(want ...E) A {
	t := o.scenario.t
	t.Helper()
	if o.err != nil {
		t.Fatalf("refused: %v", o.err)
	}
	if len(want)+len(o.events) > 0 {
		if diff := diff(want, o.events); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	}
	return o.scenario.Given(o.events...).fold()
}

// ThenErrorAs wants the decision to refuse with an error of type T, in the sense of
// errors.As, that is as it should be, and to answer no events beside it:
//
//	aggregatetest.ThenErrorAs(outcome, func(e *account.LimitError) bool { return e.Limit == 100 })
func ThenErrorAs[T error, A aggregate.Aggregate[E], E es.Event](o *Outcome[A, E], asItShouldBe func(T) bool) {
	t := o.scenario.t
	t.Helper()
	if found, ok := errors.AsType[T](o.err); !ok {
		t.Errorf("got error %v, want one of type %v", o.err, reflect.TypeFor[T]())
	} else if !asItShouldBe(found) {
		t.Errorf("got error %v, which is not as it should be: %+v", o.err, found)
	}
	o.answersNothing()
}

// ThenError wants the decision to refuse with target, and to answer no events beside it.
// The error must be target in the sense of errors.Is, or wrap an error of the same type
// that is equal to target in all fields.
func (o *Outcome[A, E]) ThenError(target error) {
	t := o.scenario.t
	t.Helper()
	if !errors.Is(o.err, target) && !wraps(o.err, target) {
		t.Errorf("got error %v, want %v", o.err, target)
	}
	o.answersNothing()
}

// wraps reports whether err wraps an error of target's type that is equal to it.
func wraps(err, target error) bool {
	if err == nil || target == nil {
		return false
	}
	found := reflect.New(reflect.TypeOf(target))
	return errors.As(err, found.Interface()) && diff(target, found.Elem().Interface().(error)) == ""
}

// answersNothing wants no events beside an error.
func (o *Outcome[A, E]) answersNothing() {
	t := o.scenario.t
	t.Helper()
	if o.err != nil && len(o.events) > 0 {
		t.Errorf("refused and answered %d events all the same; they would be lost", len(o.events))
	}
}

// diff compares everything, unexported fields included.
func diff[T any](want, got T) string {
	return cmp.Diff(want, got, cmp.Exporter(func(reflect.Type) bool { return true }))
}
