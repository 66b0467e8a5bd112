package deep

import (
	"fmt"
	"reflect"
	"unsafe"
)

// at returns the value of a type at p, with unexported fields like all others.
func at(t reflect.Type, p unsafe.Pointer) reflect.Value { return reflect.NewAt(t, p).Elem() }

func (b *builder) pointer(path string, t reflect.Type) fix {
	elem := t.Elem()
	inner := b.build(path, elem)
	return func(p unsafe.Pointer, m *memo) {
		here := (*unsafe.Pointer)(p)
		from := original{at: *here, typ: t}
		if from.at == nil {
			return
		}
		if to, ok := m.find(from); ok {
			*here = to
			return
		}
		copied := reflect.New(elem)
		copied.Elem().Set(at(elem, from.at))
		to := copied.UnsafePointer()
		m.note(from, to)
		*here = to
		if inner != nil {
			inner(to, m)
		}
	}
}

// pointerToFlat copies a pointer that is all there is: nothing else can share what it points
// to.
func pointerToFlat(elem reflect.Type) fix {
	return func(p unsafe.Pointer, _ *memo) {
		here := (*unsafe.Pointer)(p)
		if *here == nil {
			return
		}
		copied := reflect.New(elem)
		copied.Elem().Set(at(elem, *here))
		*here = copied.UnsafePointer()
	}
}

func (b *builder) slice(path string, t reflect.Type) fix {
	inner, size := b.build(path, t.Elem()), t.Elem().Size()
	return func(p unsafe.Pointer, m *memo) {
		v := at(t, p)
		n := v.Len()
		if v.IsNil() {
			return
		}
		from := original{at: v.UnsafePointer(), n: n, typ: t}
		if to, ok := m.find(from); ok && n > 0 {
			v.Set(reflect.SliceAt(t.Elem(), to, n).Convert(t))
			return
		}
		copied := reflect.MakeSlice(t, n, n)
		reflect.Copy(copied, v)
		v.Set(copied)
		to := copied.UnsafePointer()
		if n > 0 {
			m.note(from, to)
		}
		if inner != nil {
			for i := range n {
				inner(unsafe.Add(to, uintptr(i)*size), m)
			}
		}
	}
}

func (b *builder) mapping(path string, t reflect.Type) fix {
	key, elem := b.build(path, t.Key()), b.build(path, t.Elem())
	return func(p unsafe.Pointer, m *memo) {
		v := at(t, p)
		if v.IsNil() {
			return
		}
		from := original{at: v.UnsafePointer(), typ: t}
		if to, ok := m.find(from); ok {
			*(*unsafe.Pointer)(p) = to
			return
		}
		copied := reflect.MakeMapWithSize(t, v.Len())
		m.note(from, copied.UnsafePointer())
		k, e := reflect.New(t.Key()), reflect.New(t.Elem())
		for it := v.MapRange(); it.Next(); {
			k.Elem().SetIterKey(it)
			e.Elem().SetIterValue(it)
			if key != nil {
				key(k.UnsafePointer(), m)
			}
			if elem != nil {
				elem(e.UnsafePointer(), m)
			}
			copied.SetMapIndex(k.Elem(), e.Elem())
		}
		v.Set(copied)
	}
}

// behind copies what an interface holds, whose type is known only then.
func (b *builder) behind(path string, t reflect.Type) fix {
	dynamic := b.dynamic
	return func(p unsafe.Pointer, m *memo) {
		v := at(t, p)
		if v.IsNil() {
			return
		}
		inner, err := dynamic(v.Elem().Type())
		if err != nil {
			m.err = fmt.Errorf("%s: %w", path, err)
			return
		}
		if inner != nil {
			held := reflect.New(v.Elem().Type())
			held.Elem().Set(v.Elem())
			before := m.err
			if inner(held.UnsafePointer(), m); m.err != nil && before == nil {
				m.err = fmt.Errorf("%s: %w", path, m.err)
			}
			v.Set(held.Elem())
		}
	}
}

func array(t reflect.Type, inner fix) fix {
	if inner == nil {
		return nil
	}
	n, size := t.Len(), t.Elem().Size()
	return func(p unsafe.Pointer, m *memo) {
		for i := range n {
			inner(unsafe.Add(p, uintptr(i)*size), m)
		}
	}
}

func (b *builder) structure(path string, t reflect.Type) fix {
	if refused(t) {
		b.fault(path, "is a %v, which changes in place", t)
		return nil
	}
	if b.opaque(t) {
		b.fault(path, "is a %v, which holds a map, a slice or a channel that only its package sees, and may change in place", t)
		return nil
	}
	type part struct {
		offset uintptr
		fix    fix
	}
	var parts []part
	for f := range t.Fields() {
		if inner := b.build(path+"."+f.Name, f.Type); inner != nil {
			parts = append(parts, part{f.Offset, inner})
		}
	}
	return func(p unsafe.Pointer, m *memo) {
		for _, part := range parts {
			part.fix(unsafe.Add(p, part.offset), m)
		}
	}
}
