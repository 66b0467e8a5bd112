package shape

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// field is a field that the encoding writes, unless another one of its name is in its way.
type field struct {
	reflect.StructField
	path        string
	depth       int
	tagged      bool
	addressable bool
}

// structure checks the fields of a struct, those of embedded structs included.
func (w *walk) structure(path string, t reflect.Type, addressable bool) {
	named := map[string][]field{}
	w.collect(path, t, 0, addressable, named, map[reflect.Type]bool{})
	for _, name := range slices.Sorted(maps.Keys(named)) {
		fields := named[name]
		first := dominant(fields)
		for i, f := range fields {
			if i != first && !w.decodes {
				w.fault(f.path, "is dropped, because another field is called %q as well: rename one of them", name)
			}
		}
		if first >= 0 {
			f := fields[first]
			w.value(f.path, f.Type, f.addressable)
		}
	}
}

// dominant returns which of several fields of one name is written, by Go's rules for
// embedded fields and then by tags, and -1 if none is.
func dominant(fields []field) int {
	slices.SortStableFunc(fields, func(a, b field) int {
		if a.tagged != b.tagged && a.depth == b.depth {
			return map[bool]int{true: -1, false: 1}[a.tagged]
		}
		return cmp.Compare(a.depth, b.depth)
	})
	if len(fields) > 1 && fields[0].depth == fields[1].depth && fields[0].tagged == fields[1].tagged {
		return -1
	}
	return 0
}

func (w *walk) collect(path string, t reflect.Type, depth int, addressable bool, named map[string][]field, within map[reflect.Type]bool) {
	if within[t] {
		return
	}
	within[t] = true
	defer delete(within, t)
	for f := range t.Fields() {
		at := path + "." + f.Name
		name, tagged, dropped := w.name(f)
		inner, embeds := f.Type, f.Anonymous && !tagged
		if f.Type.Kind() == reflect.Pointer {
			inner = f.Type.Elem()
		}
		embeds = embeds && inner.Kind() == reflect.Struct && !w.encodesItself(f.Type)
		switch {
		case dropped:
			if !w.decodes {
				w.fault(at, "is dropped by its tag: leave the field out of the type, or store it")
			}
		case embeds && inner != f.Type && !f.IsExported():
			w.fault(at, "is an embedded pointer to an unexported type, which cannot be read: export the type, or embed the value")
		case embeds:
			w.collect(at, inner, depth+1, addressable || inner != f.Type, named, within)
		case !f.IsExported():
			w.unexported(at, t, f)
		default:
			named[name] = append(named[name], field{f, at, depth, tagged, addressable})
		}
	}
}

func (w *walk) unexported(path string, t reflect.Type, f reflect.StructField) {
	if !w.decodes && f.Name != "_" { // which has no value
		w.fault(path, "is unexported and would be lost: export it, or implement the marshalling methods of %v", t)
	}
}

// name returns the name of a field, whether it has it from a tag, and whether the tag says
// that the field is not to be stored.
func (w *walk) name(f reflect.StructField) (name string, tagged, dropped bool) {
	for _, key := range w.Tags {
		tag, ok := f.Tag.Lookup(key)
		if !ok {
			continue
		}
		if tag == "-" {
			return "", false, true
		}
		name, _, _ = strings.Cut(tag, ",")
		break
	}
	return cmp.Or(name, f.Name), name != "", false
}

func (w *walk) encodesItself(t reflect.Type) bool {
	return slices.Contains(w.Known, t) || slices.ContainsFunc(w.Methods, func(m Methods) bool {
		return t.Implements(m.Marshaler) || reflect.PointerTo(t).Implements(m.Marshaler) || w.decodes && reflect.PointerTo(t).Implements(m.Unmarshaler)
	})
}
