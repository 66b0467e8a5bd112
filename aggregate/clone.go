package aggregate

import (
	"reflect"
	"time"

	"github.com/huandu/go-clone"
)

// Cloner is an aggregate that copies itself. Execute copies states, so that the
// decisions of concurrent calls have nothing to do with each other: a state without
// references in it is copied as a value, one with a Clone method by that, and any
// other one by reflection, field by field to the bottom.
type Cloner[A any] interface {
	// Clone returns a copy that shares nothing with the original that any of the two
	// changes.
	Clone() A
}

// cloner returns the cheapest way to copy a state.
func cloner[A any]() func(A) A {
	t := reflect.TypeFor[A]()
	switch {
	case t.Implements(reflect.TypeFor[Cloner[A]]()):
		return func(state A) A { return any(state).(Cloner[A]).Clone() }
	case t.Kind() == reflect.Pointer && flat(t.Elem()):
		return func(state A) A {
			from := reflect.ValueOf(state)
			if from.IsNil() {
				return state
			}
			to := reflect.New(t.Elem())
			to.Elem().Set(from.Elem())
			return to.Interface().(A)
		}
	case flat(t):
		return func(state A) A { return state }
	default:
		// Slowly, because a state may point to itself.
		return func(state A) A { return clone.Slowly(state).(A) }
	}
}

// flat reports whether a copy of a value shares nothing with it that can change.
func flat(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Array:
		return flat(t.Elem())
	case reflect.Struct:
		if t == reflect.TypeFor[time.Time]() {
			return true
		}
		for f := range t.Fields() {
			if !flat(f.Type) {
				return false
			}
		}
		return true
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface, reflect.Chan, reflect.Func, reflect.UnsafePointer:
		return false
	default: // numbers, strings, booleans
		return true
	}
}
