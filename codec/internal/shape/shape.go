// Package shape finds what of a Go type an encoding can never bring back: fields that it
// drops, and values that it writes and cannot read.
//
// It walks the type as encoding/json does: by exported fields and their tags, the fields of
// embedded structs promoted, and types with marshalling methods of their own left alone.
package shape

import (
	"fmt"
	"reflect"
	"slices"
)

// Encoding says what an encoding does with types. Immutable after use.
type Encoding struct {
	// Tags are the struct tags that name fields, the first one found counts.
	Tags []string
	// Methods are the interfaces by which a type encodes and decodes itself.
	Methods []Methods
	// AnyKey allows map keys of every comparable type.
	AnyKey bool
	// Addresses reports that methods on pointers are called for map elements, too.
	Addresses bool
	// Known are types that the encoding deals with itself.
	Known     []reflect.Type
	Marshal   func(v any) ([]byte, error)
	Unmarshal func(data []byte, v any) error
}

// Methods is a pair of interfaces, each with a method of this name.
type Methods struct {
	Marshaler, Unmarshaler reflect.Type
	Marshal, Unmarshal     string
}

// Check returns the faults of a type that is encoded and decoded.
func (e *Encoding) Check(t reflect.Type) []error {
	w := &walk{Encoding: e, seen: map[visit]bool{}}
	w.value(t.String(), t, true)
	return w.faults
}

// CheckDecoded returns the faults of a type that is only decoded.
func (e *Encoding) CheckDecoded(t reflect.Type) []error {
	w := &walk{Encoding: e, seen: map[visit]bool{}, decodes: true}
	w.value(t.String(), t, true)
	return w.faults
}

// walk is a walk over a type.
type walk struct {
	*Encoding
	decodes bool // and nothing else
	seen    map[visit]bool
	faults  []error
}

type visit struct {
	t           reflect.Type
	addressable bool
}

func (w *walk) fault(path, format string, args ...any) {
	w.faults = append(w.faults, fmt.Errorf("%s %s", path, fmt.Sprintf(format, args...)))
}

// value checks the values of a type at a path. Those that are not addressable, as the
// elements of maps are, have only the methods of the type itself.
func (w *walk) value(path string, t reflect.Type, addressable bool) {
	if w.seen[visit{t, addressable}] || slices.Contains(w.Known, t) {
		return
	}
	w.seen[visit{t, addressable}] = true
	if w.byMethods(path, t, addressable) {
		return
	}
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
		w.fault(path, "is a %v, which cannot be stored", t)
	case reflect.Interface:
		if t.NumMethod() > 0 {
			w.fault(path, "is the interface %v, of which nobody knows when it is read which type it held: use a concrete type, or implement the marshalling methods", t)
		}
	case reflect.Pointer, reflect.Slice:
		if inner := t.Elem(); t.Kind() == reflect.Pointer && inner.Kind() == reflect.Pointer && w.encodesItself(inner) {
			w.fault(path, "is a %v, a pointer to a pointer, whose methods are not called reliably: use %v", t, inner)
			return
		}
		w.value(path, t.Elem(), true)
	case reflect.Array:
		w.value(path, t.Elem(), addressable)
	case reflect.Map:
		w.key(path, t.Key())
		w.value(path, t.Elem(), w.Addresses)
	case reflect.Struct:
		w.structure(path, t, addressable)
	default: // numbers, strings and booleans come back
	}
}

// byMethods reports whether values of a type encode themselves, and checks that they
// decode themselves as well.
func (w *walk) byMethods(path string, t reflect.Type, addressable bool) bool {
	if t.Kind() == reflect.Interface {
		return false
	}
	for _, m := range w.Methods {
		own, pointer := t.Implements(m.Marshaler), reflect.PointerTo(t).Implements(m.Marshaler)
		decodes := reflect.PointerTo(t).Implements(m.Unmarshaler)
		switch {
		case w.decodes && decodes:
			return true
		case w.decodes, !pointer && !own:
			continue
		case !own && !addressable:
			w.fault(path, "is a %v in a map, where its %s is not called, because the method is on the pointer: use *%v", t, m.Marshal, t)
		case !decodes && w.zeroFails(t):
			w.fault(path, "is a %v, which has %s and cannot be read: implement %s", t, m.Marshal, m.Unmarshal)
		default:
			w.hidden(path, t, m)
		}
		return true
	}
	return false
}

// zeroFails reports whether the zero value of a type can be encoded and then not decoded,
// or whether that of a string, number or boolean comes back as another one.
func (w *walk) zeroFails(t reflect.Type) bool {
	data, ok := w.encode(reflect.New(t))
	back := reflect.New(t)
	if !ok || try(func() error { return w.Unmarshal(data, back.Interface()) }) == nil && (!basic(t) || back.Elem().IsZero()) {
		return false
	}
	return true
}

func basic(t reflect.Type) bool {
	return t.Kind() <= reflect.Float64 && t.Kind() != reflect.Invalid || t.Kind() == reflect.String
}

// encode returns the encoding of what a pointer points to.
func (w *walk) encode(v reflect.Value) (data []byte, ok bool) {
	err := try(func() (err error) {
		data, err = w.Marshal(v.Interface())
		return err
	})
	return data, err == nil
}

func try(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return f()
}

// hidden finds a struct whose marshalling methods are promoted from an embedded field, so
// that all other fields are dropped. Go does not tell a promoted method from a declared
// one, so the encodings decide, of the zero values and of filled ones.
func (w *walk) hidden(path string, t reflect.Type, m Methods) {
	if t.Kind() != reflect.Struct || t.NumField() < 2 {
		return
	}
	for f := range t.Fields() {
		if !f.Anonymous || !f.Type.Implements(m.Marshaler) && !reflect.PointerTo(f.Type).Implements(m.Marshaler) {
			continue
		}
		if same, ok := w.encodedAs(t, f, false); !ok || !same {
			continue
		}
		if same, ok := w.encodedAs(t, f, true); same || !ok {
			w.fault(path, "embeds %v, whose %s hides all other fields: give the field a name, or implement %s", f.Type, m.Marshal, m.Marshal)
		}
	}
}

// encodedAs reports whether a struct, empty or filled, is encoded as one of its fields alone
// is. It is not ok if one of them cannot be encoded.
func (w *walk) encodedAs(t reflect.Type, f reflect.StructField, filled bool) (same, ok bool) {
	whole, part := reflect.New(t), reflect.New(f.Type)
	if filled && !f.IsExported() {
		return false, false
	}
	if filled {
		Fill(whole.Elem())
		part.Elem().Set(whole.Elem().FieldByIndex(f.Index))
	}
	all, ok := w.encode(whole)
	one, there := w.encode(part)
	return string(all) == string(one), ok && there
}

func (w *walk) key(path string, t reflect.Type) {
	if w.AnyKey {
		w.value(path, t, false)
		return
	}
	for _, m := range w.Methods {
		if m.Marshal != "MarshalText" {
			continue
		}
		encodes, decodes := t.Implements(m.Marshaler), reflect.PointerTo(t).Implements(m.Unmarshaler)
		switch {
		case decodes && (encodes || w.decodes):
			return
		case encodes && t.Kind() != reflect.String && !w.decodes:
			w.fault(path, "has keys of type %v, which has MarshalText and cannot be read: implement UnmarshalText", t)
			return
		}
	}
	switch t.Kind() {
	case reflect.String, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
	default:
		w.fault(path, "has keys of type %v, which cannot be stored: use a string or an integer, or implement MarshalText and UnmarshalText", t)
	}
}
