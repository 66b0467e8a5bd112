package subscribe

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/peatlog/peat/codec"
	"github.com/peatlog/peat/es"
)

// known is a name of events that a handler knows, in a category, "" for any.
type known struct{ category, name string }

// interests are the events that some handlers know.
type interests struct {
	// names are sorted, and nil if one of the handlers takes all events.
	names []string
	// categories are those that the handlers know, sorted, and nil if one of them takes
	// events of any.
	categories []string
	// partial tells that events of other names are none of the handlers' business.
	partial bool
	// any tells that one of the handlers has names, and no category.
	any bool
}

// merged is several handlers as one. Each event goes to the one that knows its category
// and its name, and the order stays.
type merged[T any] struct {
	handles []handle[T]
	byName  map[known]int
	rest    int // the one for all other events, -1 for none
	// passes are the categories, "" for any, of which other events are passed by.
	passes map[string]bool
}

// merge returns the handlers as one, and what they are interested in.
func merge[T any](handlers []Handler[T]) (Handler[T], interests, error) {
	m := merged[T]{byName: map[known]int{}, rest: -1, passes: map[string]bool{}}
	in := interests{partial: true}
	var all Handler[T]
	var faults []error
	for _, h := range handlers {
		switch {
		case h.handle != nil:
			faults = append(faults, m.add(h))
			in.add(h.names, h.category, h.partial)
		case all.prepare != nil:
			faults = append(faults, errors.New("OnRebuild is there twice"))
		default:
			all.prepare, all.takeOver = h.prepare, h.takeOver
		}
	}
	if len(m.handles) == 0 {
		faults = append(faults, errors.New("there is no handler"))
	}
	if m.rest >= 0 {
		in = interests{}
	} else if in.any {
		in.categories = nil
	}
	all.handle = m.handle
	return all, in, errors.Join(faults...)
}

func (in *interests) add(names []string, category string, partial bool) {
	in.names = slices.Compact(slices.Sorted(slices.Values(slices.Concat(in.names, names))))
	in.categories = slices.Compact(slices.Sorted(slices.Values(append(in.categories, category))))
	in.partial = in.partial && partial
	in.any = in.any || category == ""
}

func (m *merged[T]) add(h Handler[T]) error {
	this := len(m.handles)
	m.handles = append(m.handles, h.handle)
	m.passes[h.category] = m.passes[h.category] || h.partial
	if h.names == nil {
		if m.rest >= 0 {
			return errors.New("two handlers take all events")
		}
		m.rest = this
	}
	var faults []error
	for _, name := range h.names {
		for k := range m.byName {
			if k.name == name && (k.category == h.category || k.category == "" || h.category == "") {
				faults = append(faults, fmt.Errorf("two handlers take events %q; if they are of two aggregates, make each handler from the Events of its Definition", name))
			}
		}
		m.byName[known{h.category, name}] = this
	}
	return errors.Join(faults...)
}

// of returns the handler of an event, -1 for none.
func (m *merged[T]) of(r es.Recorded) int {
	for _, category := range []string{r.Stream.Category, ""} {
		if h, ok := m.byName[known{category, r.Type}]; ok {
			return h
		}
	}
	return m.rest
}

func (m *merged[T]) handle(ctx context.Context, tx T, events []es.Recorded, l limits) (int, error) {
	for done := 0; done < len(events); {
		which := m.of(events[done])
		if which < 0 {
			if l.others || m.passes[""] || m.passes[events[done].Stream.Category] {
				done++
				continue
			}
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
		Err: fmt.Errorf("%w for the handlers; add a case for it, or make the handlers of a codec.Part", codec.ErrUnknownEvent),
	}
}
