package subscribe

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/peatlog/peat/codec"
	"github.com/peatlog/peat/es"
)

// merged is several handlers as one. Each event goes to the one that knows its name,
// and the order stays.
type merged[T any] struct {
	handles []handle[T]
	byName  map[string]int
	rest    int // the one for all other events, -1 for none
}

// merge returns the handlers as one, which has no names if one of them takes all.
func merge[T any](handlers []Handler[T]) (Handler[T], error) {
	m := merged[T]{byName: map[string]int{}, rest: -1}
	var all Handler[T]
	var faults []error
	for _, h := range handlers {
		switch {
		case h.handle != nil:
			faults = append(faults, m.add(h))
		case all.prepare != nil:
			faults = append(faults, errors.New("OnRebuild is there twice"))
		default:
			all.prepare, all.takeOver = h.prepare, h.takeOver
		}
	}
	if len(m.handles) == 0 {
		faults = append(faults, errors.New("there is no handler"))
	}
	if all.handle = m.handle; m.rest < 0 {
		for name := range m.byName {
			all.names = append(all.names, name)
		}
		slices.Sort(all.names)
	}
	return all, errors.Join(faults...)
}

func (m *merged[T]) add(h Handler[T]) error {
	this := len(m.handles)
	m.handles = append(m.handles, h.handle)
	if h.names == nil {
		if m.rest >= 0 {
			return errors.New("two handlers take all events")
		}
		m.rest = this
	}
	var faults []error
	for _, name := range h.names {
		if _, twice := m.byName[name]; twice {
			faults = append(faults, fmt.Errorf("two handlers take events %q", name))
		}
		m.byName[name] = this
	}
	return errors.Join(faults...)
}

// of returns the handler of an event, -1 for none.
func (m *merged[T]) of(r es.Recorded) int {
	if h, ok := m.byName[r.Type]; ok {
		return h
	}
	return m.rest
}

func (m *merged[T]) handle(ctx context.Context, tx T, events []es.Recorded, l limits) (int, error) {
	for done := 0; done < len(events); {
		which := m.of(events[done])
		if which < 0 {
			return done, unknownEvent(events[done])
		}
		end := done + 1
		for end < len(events) && m.of(events[end]) == which {
			end++
		}
		n, err := m.handles[which](ctx, tx, events[done:end], l)
		if done += n; err != nil || done < end {
			return done, err
		}
	}
	return len(events), nil
}

func unknownEvent(r es.Recorded) error {
	return &es.DecodeError{
		Stream: r.Stream, Version: r.Version, Position: r.Position, Type: r.Type,
		Err: fmt.Errorf("%w for the handlers; add a case for it, or set SkipUnknown", codec.ErrUnknownEvent),
	}
}
