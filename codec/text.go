package codec

import (
	"bytes"
	"fmt"
	"reflect"
	"unicode/utf8"
)

// replaced reports whether a JSON text may hold characters that an encoder has put in the
// place of bytes that are not UTF-8: it writes them as an escape, and a true U+FFFD as
// it is.
func replaced(json []byte) bool { return bytes.Contains(json, []byte(`\ufffd`)) }

// invalidText returns an error for the first text in a value that is not UTF-8.
func invalidText(v reflect.Value) error {
	if path, text, found := findInvalid(v, v.Type().String(), 0); found {
		return fmt.Errorf("%s is not UTF-8: %q", path, text)
	}
	return nil
}

// textDepth bounds the search, as a value may point to itself.
const textDepth = 100

func findInvalid(v reflect.Value, path string, depth int) (at, text string, found bool) {
	if depth > textDepth {
		return "", "", false
	}
	in := func(v reflect.Value, step string) bool {
		at, text, found = findInvalid(v, path+step, depth+1)
		return found
	}
	switch v.Kind() {
	case reflect.String:
		return path, v.String(), !utf8.ValidString(v.String())
	case reflect.Pointer, reflect.Interface:
		_ = !v.IsNil() && in(v.Elem(), "")
	case reflect.Struct:
		for f, value := range v.Fields() {
			if in(value, "."+f.Name) {
				break
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if in(v.Index(i), fmt.Sprintf("[%d]", i)) {
				break
			}
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			if in(it.Key(), " (a key)") || in(it.Value(), fmt.Sprintf("[%v]", it.Key())) {
				break
			}
		}
	default: // holds no text
	}
	return at, text, found
}
