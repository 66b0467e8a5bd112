package deep

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
)

// Fingerprint returns a short text that changes with a type: with the names, types, tags and
// order of its fields, to the bottom. The names of types and packages do not count, but for
// structs of other packages that have unexported fields.
func Fingerprint(t reflect.Type) string {
	d := &description{builder: builder{home: t.PkgPath()}, seen: map[reflect.Type]int{}}
	d.write(t)
	sum := sha256.Sum256([]byte(d.text.String()))
	return hex.EncodeToString(sum[:8])
}

type description struct {
	builder
	text strings.Builder
	seen map[reflect.Type]int
}

func (d *description) write(t reflect.Type) {
	if n, ok := d.seen[t]; ok {
		fmt.Fprintf(&d.text, "#%d", n)
		return
	}
	if t.PkgPath() != "" { // it can hold itself
		d.seen[t] = len(d.seen)
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		d.text.WriteString(t.Kind().String() + " ")
		d.write(t.Elem())
	case reflect.Array:
		fmt.Fprintf(&d.text, "[%d]", t.Len())
		d.write(t.Elem())
	case reflect.Map:
		d.text.WriteString("map ")
		d.write(t.Key())
		d.text.WriteString(" ")
		d.write(t.Elem())
	case reflect.Struct:
		if d.opaque(t) {
			d.text.WriteString(t.String())
			return
		}
		d.text.WriteString("{")
		for f := range t.Fields() {
			fmt.Fprintf(&d.text, "%s %q ", f.Name, string(f.Tag))
			d.write(f.Type)
			d.text.WriteString(";")
		}
		d.text.WriteString("}")
	case reflect.Interface, reflect.Func, reflect.Chan:
		d.text.WriteString(t.String())
	default:
		d.text.WriteString(t.Kind().String())
	}
}
