package deep

import (
	"fmt"
	"math/big"
	"reflect"
	"time"
	"unsafe"
)

// Difference returns the path of something that differs between the values that two
// pointers of one type point to, and "" if nothing does. Unexported fields count, nil and
// empty are different, and so is whether two places share what they point to: a change
// through the one is seen through the other, or is not. Times are compared as instants with
// their offset, numbers of math/big as numbers, and functions only as to whether there is one.
func Difference(a, b reflect.Value) string {
	t := a.Type().Elem()
	c := &comparison{there: map[original]unsafe.Pointer{}, back: map[original]unsafe.Pointer{}}
	for t.Kind() == reflect.Pointer && !a.Elem().IsNil() && !b.Elem().IsNil() {
		a, b, t = a.Elem(), b.Elem(), t.Elem()
	}
	return c.values(t.String(), t, a.UnsafePointer(), b.UnsafePointer())
}

// comparison is a comparison of two values. What the one points to corresponds to what the
// other one does, in both directions.
type comparison struct {
	there, back map[original]unsafe.Pointer
}

// known reports whether two pointers were met before, and whether each corresponds to the
// other.
func (c *comparison) known(t reflect.Type, n int, a, b unsafe.Pointer) (known, match bool) {
	from, to := original{a, n, t}, original{b, n, t}
	there, met := c.there[from]
	back, metToo := c.back[to]
	if met || metToo {
		return true, met && metToo && there == b && back == a
	}
	c.there[from], c.back[to] = b, a
	return false, true
}

// values compares the values of a type at two places.
func (c *comparison) values(path string, t reflect.Type, a, b unsafe.Pointer) string {
	if equal, ok := compared(t, a, b); ok {
		return different(path, !equal)
	}
	va, vb := at(t, a), at(t, b)
	switch t.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice:
		return c.references(path, t, va, vb)
	case reflect.Interface:
		if va.IsNil() || vb.IsNil() {
			return different(path, va.IsNil() != vb.IsNil())
		}
		if va.Elem().Type() != vb.Elem().Type() {
			return path + " (" + va.Elem().Type().String() + ", and then " + vb.Elem().Type().String() + ")"
		}
		return c.values(path, va.Elem().Type(), held(va.Elem()), held(vb.Elem()))
	case reflect.Struct:
		for f := range t.Fields() {
			if d := c.values(path+"."+f.Name, f.Type, unsafe.Add(a, f.Offset), unsafe.Add(b, f.Offset)); d != "" {
				return d
			}
		}
		return ""
	case reflect.Array:
		return c.elements(path, t.Elem(), t.Len(), a, b)
	case reflect.Func:
		return different(path, va.IsNil() != vb.IsNil())
	default:
		return different(path, !va.Equal(vb))
	}
}

func (c *comparison) references(path string, t reflect.Type, a, b reflect.Value) string {
	if a.IsNil() || b.IsNil() {
		return different(path, a.IsNil() != b.IsNil())
	}
	n := 0
	if t.Kind() != reflect.Pointer {
		if n = a.Len(); n != b.Len() {
			return path
		}
	}
	if n > 0 && t.Elem().Size() > 0 || t.Kind() != reflect.Slice && (t.Kind() == reflect.Map || t.Elem().Size() > 0) {
		if known, match := c.known(t, n, a.UnsafePointer(), b.UnsafePointer()); known {
			return different(path+" (what it shares with another place)", !match)
		}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return c.values(path, t.Elem(), a.UnsafePointer(), b.UnsafePointer())
	case reflect.Slice:
		return c.elements(path, t.Elem(), n, a.UnsafePointer(), b.UnsafePointer())
	default:
		return c.entries(path, t, a, b)
	}
}

// entries compares two maps of one length.
func (c *comparison) entries(path string, t reflect.Type, a, b reflect.Value) string {
	for it := a.MapRange(); it.Next(); {
		other := b.MapIndex(it.Key())
		if !other.IsValid() {
			return fmt.Sprintf("%s[%v]", path, it.Key())
		}
		if d := c.values(fmt.Sprintf("%s[%v]", path, it.Key()), t.Elem(), held(it.Value()), held(other)); d != "" {
			return d
		}
	}
	return ""
}

func (c *comparison) elements(path string, t reflect.Type, n int, a, b unsafe.Pointer) string {
	for i := range n {
		offset := uintptr(i) * t.Size()
		if d := c.values(fmt.Sprintf("%s[%d]", path, i), t, unsafe.Add(a, offset), unsafe.Add(b, offset)); d != "" {
			return d
		}
	}
	return ""
}

// compared compares values of types that have an equality of their own.
func compared(t reflect.Type, a, b unsafe.Pointer) (equal, ok bool) {
	switch t {
	case reflect.TypeFor[time.Time]():
		x, y := (*time.Time)(a), (*time.Time)(b)
		_, xo := x.Zone()
		_, yo := y.Zone()
		return x.Equal(*y) && xo == yo, true
	case reflect.TypeFor[big.Int]():
		return (*big.Int)(a).Cmp((*big.Int)(b)) == 0, true
	case reflect.TypeFor[big.Rat]():
		return (*big.Rat)(a).Cmp((*big.Rat)(b)) == 0, true
	case reflect.TypeFor[big.Float]():
		return (*big.Float)(a).Cmp((*big.Float)(b)) == 0, true
	}
	return false, false
}

// held returns a pointer to a copy of a value.
func held(v reflect.Value) unsafe.Pointer {
	p := reflect.New(v.Type())
	p.Elem().Set(v)
	return p.UnsafePointer()
}

func different(path string, differs bool) string {
	if differs {
		return path
	}
	return ""
}
