package codec

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
)

// ErrNotInPart says that the event is one of the whole union and none of the part, which shows only
// when it is decoded, because it is stored in an older form.
var ErrNotInPart = errors.New("event not in this part of the union")

// Part returns a part of a union, for a reader that is interested in some of its events
// only, such as a projection. The cases are types of the whole, which P may narrow to an
// interface of the reader's own:
//
//	var deposits = codec.Part(account.Accounts.Events(),
//		codec.Case(func(e account.Deposited) account.Event { return e }))
//
// The part keeps the Legacy cases of the whole, so an event that is stored in an older form
// is read as it is by the aggregate; one that becomes none of the part's types is
// [ErrNotInPart], and handlers pass it by. It also keeps the format and the category.
//
// Part panics on the faults that [NewUnion] panics on, and on a case that the whole does
// not have.
func Part[P, E interface{ EventType() string }](whole *Union[E], cases ...Variant[P]) *Union[P] {
	part := NewUnionIn(whole.format, cases...)
	var faults []error
	for t, v := range part.byType {
		if w, ok := whole.byType[t]; !ok || w.name != v.name {
			faults = append(faults, fmt.Errorf("%v, %q, is no case of the whole union", t, v.name))
		}
	}
	for _, v := range cases {
		if v.legacy {
			faults = append(faults, fmt.Errorf("%q is a Legacy case: add it to the whole union", v.name))
		}
	}
	if err := errors.Join(faults...); err != nil {
		panic(fmt.Errorf("codec.Part: %w", err))
	}
	selected := maps.Clone(part.byType)
	for name, v := range whole.byName {
		if !v.legacy {
			continue
		}
		part.byName[name] = Variant[P]{name: name, typ: v.typ, legacy: true, decode: func(f Format, data []byte) (none P, _ error) {
			e, err := v.decode(f, data)
			if err != nil {
				return none, err
			}
			p, ok := any(e).(P)
			if _, in := selected[reflect.TypeOf(e)]; !ok || !in {
				return none, fmt.Errorf("%w: %T", ErrNotInPart, e)
			}
			return p, nil
		}}
	}
	part.binary, part.category, part.partial = whole.binary, whole.category, true
	return part
}

// Of returns the same union as that of the events of one category of streams, so that a
// reader takes no event of the same name for one of them that is in another category.
// aggregate.Define does so with the union that it is given.
func (u *Union[E]) Of(category string) *Union[E] {
	c := *u
	c.category = category
	return &c
}

// Category returns the category that the union's events are of, "" for any.
func (u *Union[E]) Category() string { return u.category }

// Partial reports whether the union is a part of another one; see [Part].
func (u *Union[E]) Partial() bool { return u.partial }
