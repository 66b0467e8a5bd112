package codec

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Errors of encoding and decoding.
var (
	// ErrUnknownEvent: the union has no case for the event.
	ErrUnknownEvent = errors.New("unknown event type")
	// ErrMalformed: the payload does not fit the event's type.
	ErrMalformed = errors.New("malformed payload")
)

// Variant is one case of a union, made by [Case] or [Legacy].
type Variant[E any] struct {
	name   string
	typ    reflect.Type // the type that is encoded, nil for a legacy case
	decode func(f Format, data []byte) (E, error)
	fault  error
}

// Case is the case of an event type T that is written and read. The function
// only converts T to the union's interface. T is a value type; its name is what
// EventType returns for its zero value.
func Case[T, E interface{ EventType() string }](wrap func(T) E) Variant[E] {
	var zero T
	v := Variant[E]{typ: reflect.TypeFor[T](), decode: decoder(wrap)}
	switch v.typ.Kind() {
	case reflect.Pointer:
		v.fault = fmt.Errorf("%v is a pointer; events are values, use %v", v.typ, v.typ.Elem())
	case reflect.Interface:
		v.fault = fmt.Errorf("%v is an interface; a case is one concrete type", v.typ)
	default:
		v.name = zero.EventType()
	}
	return v
}

// Legacy is the case of a form that is read but no longer written: events
// stored under name are decoded as T and handed to upcast, which makes today's
// event of them. It must be pure; it may return events of different types.
func Legacy[T any, E interface{ EventType() string }](name string, upcast func(T) E) Variant[E] {
	return Variant[E]{name: name, decode: decoder(upcast)}
}

func decoder[T, E any](wrap func(T) E) func(Format, []byte) (E, error) {
	return func(f Format, data []byte) (E, error) {
		var v T
		if err := f.Unmarshal(data, &v); err != nil {
			var none E
			return none, err
		}
		return wrap(v), nil
	}
}

// Union is a closed set of event types with their names.
type Union[E interface{ EventType() string }] struct {
	byName map[string]Variant[E]
	byType map[reflect.Type]string
	format Format // for writing
	binary Format // for reading payloads that are not JSON
}

// NewUnion returns the union of the given cases, with JSON as its format. It
// panics on a faulty set (a name or type twice, an empty name, a pointer type),
// naming every fault, because such a program must not start.
func NewUnion[E interface{ EventType() string }](variants ...Variant[E]) *Union[E] {
	u := &Union[E]{byName: map[string]Variant[E]{}, byType: map[reflect.Type]string{}, format: JSON}
	var faults []error
	for _, v := range variants {
		if err := u.add(v); err != nil {
			faults = append(faults, err)
		}
	}
	if len(faults) > 0 {
		panic(fmt.Errorf("codec.NewUnion: %w", errors.Join(faults...)))
	}
	return u
}

func (u *Union[E]) add(v Variant[E]) error {
	if v.fault != nil {
		return v.fault
	}
	if v.name == "" {
		return fmt.Errorf("%v has an empty event type", cmp.Or[any](v.typ, "a legacy case"))
	}
	if _, twice := u.byName[v.name]; twice {
		return fmt.Errorf("the event type %q is there twice", v.name)
	}
	u.byName[v.name] = v
	if v.typ == nil {
		return nil
	}
	if other, twice := u.byType[v.typ]; twice {
		return fmt.Errorf("%v is there twice, as %q and %q", v.typ, other, v.name)
	}
	u.byType[v.typ] = v.name
	return nil
}

// WithFormat returns a union of the same cases that writes in format f. It
// reads payloads in f and in JSON.
func (u *Union[E]) WithFormat(f Format) *Union[E] {
	c := *u
	c.format = f
	if f.Binary() {
		c.binary = f
	}
	return &c
}

// Names returns the names that the union can decode, sorted.
func (u *Union[E]) Names() []string { return slices.Sorted(maps.Keys(u.byName)) }

// Has reports whether the union can decode events of this name.
func (u *Union[E]) Has(eventType string) bool {
	_, ok := u.byName[eventType]
	return ok
}

// Encode returns the name and payload of an event, and whether the payload is
// binary rather than JSON. An event that is no case of the union gives
// [ErrUnknownEvent].
func (u *Union[E]) Encode(e E) (eventType string, data []byte, binary bool, err error) {
	eventType, ok := u.byType[reflect.TypeOf(e)]
	if !ok {
		return "", nil, false, u.notACase(e)
	}
	if data, err = guard(eventType, func() ([]byte, error) { return u.format.Marshal(e) }); err != nil {
		return "", nil, false, err
	}
	return eventType, data, u.format.Binary(), nil
}

func (u *Union[E]) notACase(e E) error {
	t := reflect.TypeOf(e)
	if t != nil && t.Kind() == reflect.Pointer {
		if _, ok := u.byType[t.Elem()]; ok {
			return fmt.Errorf("%w: %v is a pointer; record the value, %v", ErrUnknownEvent, t, t.Elem())
		}
	}
	return fmt.Errorf("%w: %v is no case of the union; add a codec.Case for it", ErrUnknownEvent, t)
}

// Decode returns the event of a stored payload. A name without a case gives
// [ErrUnknownEvent], a payload that does not fit its type [ErrMalformed], also
// where the type's own unmarshalling or the upcast panics.
func (u *Union[E]) Decode(eventType string, data []byte, binary bool) (E, error) {
	var none E
	v, ok := u.byName[eventType]
	if !ok {
		return none, fmt.Errorf("%w %q", ErrUnknownEvent, eventType)
	}
	f := JSON
	if binary {
		if f = u.binary; f == nil {
			return none, fmt.Errorf("%w of %q: it is binary and the union reads JSON only; set its format with WithFormat", ErrMalformed, eventType)
		}
	}
	return guard(eventType, func() (E, error) { return v.decode(f, data) })
}

// guard runs f and makes [ErrMalformed] of its error or panic.
func guard[T any](eventType string, f func() (T, error)) (result T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w of %q: panic: %v", ErrMalformed, eventType, p)
		}
	}()
	if result, err = f(); err != nil {
		err = fmt.Errorf("%w of %q: %w", ErrMalformed, eventType, err)
	}
	return result, err
}
