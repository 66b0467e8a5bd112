package deep

import (
	"math/big"
	"reflect"
	"regexp"
	"slices"
	"time"
	"unsafe"
)

// opaque reports whether a struct has unexported fields that are not the home package's.
func (b *builder) opaque(t reflect.Type) bool {
	for f := range t.Fields() {
		if f.PkgPath != "" && f.PkgPath != b.home && f.Name != "_" {
			return true
		}
	}
	return false
}

// values are opaque types that hold slices or maps and never change.
var values = []reflect.Type{reflect.TypeFor[time.Location](), reflect.TypeFor[regexp.Regexp]()}

// container reports whether an opaque struct holds a map, a slice or a channel itself, so
// that its methods may well change it in place.
func container(t reflect.Type) bool {
	if slices.Contains(values, t) {
		return false
	}
	for f := range t.Fields() {
		switch f.Type.Kind() {
		case reflect.Map, reflect.Slice, reflect.Chan:
			return true
		case reflect.Struct:
			if container(f.Type) {
				return true
			}
		default:
		}
	}
	return false
}

// inPlace are packages of the standard library whose structs change in place.
var inPlace = []string{"bufio", "bytes", "container/list", "container/ring", "math/rand", "math/rand/v2", "strings", "sync", "sync/atomic"}

// refused reports whether a struct changes in place and does not say how to copy it.
func refused(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && slices.Contains(inPlace, t.PkgPath()) && byMethod(t) == nil
}

// byMethod returns how a type is copied that says so itself: by a Clone method of the
// value or the pointer, that returns either. It returns nil for another one.
func byMethod(t reflect.Type) fix {
	if f := bigNumber(t); f != nil {
		return f
	}
	if t.Kind() == reflect.Interface {
		return nil
	}
	pointer := reflect.PointerTo(t)
	method, ok := pointer.MethodByName("Clone")
	if !ok || method.Type.NumIn() != 1 || method.Type.NumOut() != 1 {
		return nil
	}
	clone := func(p unsafe.Pointer) reflect.Value {
		return method.Func.Call([]reflect.Value{reflect.NewAt(t, p)})[0]
	}
	switch method.Type.Out(0) {
	case t:
		return func(p unsafe.Pointer, _ *memo) { at(t, p).Set(clone(p)) }
	case pointer:
		return func(p unsafe.Pointer, _ *memo) {
			if c := clone(p); !c.IsNil() {
				at(t, p).Set(c.Elem())
			}
		}
	}
	return nil
}

// bigNumber returns how the types of math/big are copied, which change in place.
func bigNumber(t reflect.Type) fix {
	switch t {
	case reflect.TypeFor[big.Int]():
		return func(p unsafe.Pointer, _ *memo) { n := (*big.Int)(p); *n = *new(big.Int).Set(n) }
	case reflect.TypeFor[big.Rat]():
		return func(p unsafe.Pointer, _ *memo) { n := (*big.Rat)(p); *n = *new(big.Rat).Set(n) }
	case reflect.TypeFor[big.Float]():
		return func(p unsafe.Pointer, _ *memo) { n := (*big.Float)(p); *n = *new(big.Float).Copy(n) }
	}
	return nil
}
