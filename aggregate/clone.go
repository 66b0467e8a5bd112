package aggregate

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/peatlog/peat/internal/deep"
)

// Cloner is an aggregate that copies itself. Decisions work on copies of the state, so that
// what they do to it concerns nobody else. A state without references is copied as a value,
// one with a Clone method by that, and any other one by reflection, field by field to the
// bottom, with these exceptions: a struct of another package that has unexported fields is a
// value, such as time.Time or netip.Addr, unless it has a Clone method; so is what a
// pointer to it points to; and so are errors and functions. The types of math/big are
// copied.
//
// These need a Clone method as well: a state that changes such a struct of another package
// through a pointer; one with a pointer into a slice or another field, which Execute
// refuses; and one with slices that overlap in part and change each other.
//
// [Define] refuses a state that cannot be copied in this way: one with channels, or with
// structs of other packages that change in place, such as sync.Mutex. An interface that
// holds a pointer to a struct of the state's own package shows only when it is copied: then
// Execute returns an error, because the pointer may stand for itself, as a sentinel does,
// or for what it points to. Such states need a Clone method. So does a large one that is
// to be fast.
type Cloner[A any] interface {
	// Clone returns a copy that shares nothing with the original that any of the two
	// changes. It only reads the original, and may be called by several goroutines at
	// once.
	Clone() A
}

// cloner returns the cheapest way to copy a state, and whether it costs nothing to speak
// of.
func cloner[A any]() (clone func(A) (A, error), cheap bool, _ error) {
	t := reflect.TypeFor[A]()
	if t.Implements(reflect.TypeFor[Cloner[A]]()) {
		return func(state A) (A, error) { return any(state).(Cloner[A]).Clone(), nil }, false, nil
	}
	c, err := deep.New(t)
	if t.Kind() == reflect.Interface {
		err = errors.New("it is an interface: use the type behind it as the state")
	}
	if err != nil {
		return nil, false, fmt.Errorf("the state cannot be copied, implement Clone() %v: %w", t, err)
	}
	return func(state A) (A, error) {
		var to A
		err := c.Copy(reflect.ValueOf(&to), reflect.ValueOf(&state))
		if err != nil {
			err = fmt.Errorf("the state cannot be copied, implement Clone() %v: %w", t, err)
		}
		return to, err
	}, c.Cheap(), nil
}

// Clone returns a copy of a state, as decisions get it. It fails if the state holds, in
// a field of type any, what cannot be copied.
func (d *Definition[A, E]) Clone(state A) (A, error) { return d.clone(state) }
