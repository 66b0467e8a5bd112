// Package deep copies, compares and fingerprints the states of aggregates. A copy and its
// original share nothing that either of them changes.
//
// # Model
//
// What is copied follows from the type. Pointers, maps, slices, arrays and structs are
// copied to the bottom, unexported fields included, and what two places of the original
// share is shared by the same places of the copy. Three things are not taken apart:
//
//   - A type with a Clone method is copied by it.
//   - A struct of another package that has unexported fields is a value, such as
//     netip.Addr, time.Time or unique.Handle: only its own package knows what is in there, and
//     a pointer in it may be its identity. So is what a pointer to such a struct points to,
//     such as *time.Location. The types of math/big change in place and are copied.
//   - An error and a function are values as well.
//
// Only what is shared as a whole is found. A pointer into a slice or a struct that is copied
// is refused; slices that overlap in part come apart.
//
// What cannot be copied faithfully is refused by [New]: channels, and structs of other
// packages that change in place, such as sync.Mutex or list.List. What an interface holds
// shows only when it is copied. A pointer to a struct that would be taken apart is refused
// then, because nobody knows whether it stands for itself, as a sentinel does, or for
// what it points to.
package deep

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"unsafe"
)

// Copier copies values of one type. Safe for concurrent use.
type Copier struct {
	home string // the package whose structs are taken apart
	typ  reflect.Type
	fix  fix // nil: an assignment is a copy

	cheap bool

	dynamic sync.Map // of reflect.Type, to dynamic: what was met behind interfaces
}

// dynamic is how a type is copied that was met behind an interface.
type dynamic struct {
	fix fix
	err error
}

// fix turns a shallow copy at p into one that shares nothing with the original.
type fix func(p unsafe.Pointer, m *memo)

// memo is what was copied already in one copy, by where it was.
type memo struct {
	copies map[original]unsafe.Pointer
	err    error
}

// original is where a pointer, map or slice points to.
type original struct {
	at  unsafe.Pointer
	n   int // of a slice
	typ reflect.Type
}

func (m *memo) find(o original) (unsafe.Pointer, bool) {
	c, ok := m.copies[o]
	return c, ok
}

func (m *memo) note(o original, c unsafe.Pointer) {
	if m.copies == nil {
		m.copies = map[original]unsafe.Pointer{}
	}
	m.copies[o] = c
}

// size is how many bytes lie there.
func (o original) size() uintptr {
	switch o.typ.Kind() {
	case reflect.Pointer:
		return o.typ.Elem().Size()
	case reflect.Slice:
		return uintptr(o.n) * o.typ.Elem().Size()
	default: // a map, into which nothing points
		return 0
	}
}

// inside returns an error if something that was copied points into something else that was:
// the two copies share nothing.
func (m *memo) inside() error {
	if len(m.copies) < 2 {
		return nil
	}
	all := make([]block, 0, len(m.copies))
	for o := range m.copies {
		if n := o.size(); n > 0 {
			all = append(all, block{uintptr(o.at), uintptr(o.at) + n, o.typ})
		}
	}
	slices.SortFunc(all, func(a, b block) int {
		if a.at != b.at {
			return cmp.Compare(a.at, b.at)
		}
		return cmp.Compare(b.end, a.end)
	})
	var end uintptr // of all that begin before
	for _, b := range all {
		if b.at < end && b.typ.Kind() == reflect.Pointer {
			return fmt.Errorf("a %v points into a slice or a struct that is copied as well, and would come apart from it", b.typ)
		}
		end = max(end, b.end)
	}
	return nil
}

// block is where something lies that was copied.
type block struct {
	at, end uintptr
	typ     reflect.Type
}

// New returns the copier of a type. Its error names each field that cannot be copied.
func New(t reflect.Type) (*Copier, error) {
	home := t
	for home.Kind() == reflect.Pointer {
		home = home.Elem()
	}
	c := &Copier{home: home.PkgPath(), typ: t}
	b := &builder{home: c.home, made: map[reflect.Type]*fix{}, dynamic: c.behindInterface}
	if c.cheap = b.flat(t); t.Kind() == reflect.Pointer && b.flat(t.Elem()) {
		c.cheap, c.fix = true, pointerToFlat(t.Elem())
		return c, nil
	}
	c.fix = b.build(home.String(), t)
	return c, errors.Join(b.faults...)
}

// Cheap reports whether a copy costs nothing to speak of: the values share nothing that can
// change, or are pointers to such.
func (c *Copier) Cheap() bool { return c.cheap }

// Copy copies the value at from into the one at to, both pointers to the copier's type. It
// fails if an interface holds what cannot be copied.
func (c *Copier) Copy(to, from reflect.Value) error {
	to.Elem().Set(from.Elem())
	if c.fix == nil {
		return nil
	}
	m := &memo{}
	c.fix(to.UnsafePointer(), m)
	if m.err == nil {
		m.err = m.inside()
	}
	return m.err
}

// behindInterface returns how to copy what an interface holds.
func (c *Copier) behindInterface(t reflect.Type) (fix, error) {
	if known, ok := c.dynamic.Load(t); ok {
		d := known.(dynamic)
		return d.fix, d.err
	}
	b := &builder{home: c.home, made: map[reflect.Type]*fix{}, dynamic: c.behindInterface}
	var d dynamic
	if d.fix = b.build(t.String(), t); d.fix != nil && t.Kind() == reflect.Pointer && b.plain(t.Elem()) {
		b.fault(t.String(), "behind an interface may stand for itself or for what it points to")
	}
	d.err = errors.Join(b.faults...)
	c.dynamic.Store(t, d)
	return d.fix, d.err
}

// builder builds the copier of a type.
type builder struct {
	home    string
	made    map[reflect.Type]*fix // also those that are not finished: a type can hold itself
	dynamic func(reflect.Type) (fix, error)
	faults  []error
}

func (b *builder) fault(path, format string, args ...any) {
	b.faults = append(b.faults, fmt.Errorf("%s %s", path, fmt.Sprintf(format, args...)))
}

// build returns how values of a type are copied, nil if an assignment is enough.
func (b *builder) build(path string, t reflect.Type) fix {
	switch {
	case b.flat(t):
		return nil
	case t.Kind() == reflect.Interface: // which holds nothing by itself
		return b.behind(path, t)
	}
	if made, ok := b.made[t]; ok {
		return func(p unsafe.Pointer, m *memo) {
			if *made != nil {
				(*made)(p, m)
			}
		}
	}
	made := new(fix)
	b.made[t] = made
	*made = b.kind(path, t)
	return *made
}

// kind is build for a type that is not flat.
func (b *builder) kind(path string, t reflect.Type) fix {
	if f := byMethod(t); f != nil {
		return f
	}
	switch t.Kind() {
	case reflect.Pointer:
		return b.pointer(path, t)
	case reflect.Slice:
		return b.slice(path, t)
	case reflect.Map:
		return b.mapping(path, t)
	case reflect.Array:
		return array(t, b.build(path, t.Elem()))
	case reflect.Struct:
		return b.structure(path, t)
	default:
		b.fault(path, "is a %v", t)
		return nil
	}
}

// flat reports whether an assignment of a value shares nothing with it that can change.
func (b *builder) flat(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Func:
		return true
	case reflect.Array:
		return b.flat(t.Elem())
	case reflect.Struct:
		if refused(t) || byMethod(t) != nil {
			return false
		}
		if b.opaque(t) {
			return !container(t)
		}
		for f := range t.Fields() {
			if !b.flat(f.Type) {
				return false
			}
		}
		return true
	case reflect.Interface:
		return t == reflect.TypeFor[error]()
	case reflect.Pointer:
		elem := t.Elem()
		return elem.Kind() == reflect.Struct && b.opaque(elem) && b.flat(elem)
	case reflect.Slice, reflect.Map, reflect.Chan, reflect.UnsafePointer:
		return false
	default: // numbers, strings, booleans
		return true
	}
}

// plain reports whether a type is a struct that is taken apart.
func (b *builder) plain(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && !b.opaque(t) && byMethod(t) == nil
}
