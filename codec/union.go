package codec

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/peatlog/peat/codec/internal/shape"
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
	typ    reflect.Type // of the stored form
	legacy bool         // it is only decoded
	encode func(f Format, e E) ([]byte, error)
	decode func(f Format, data []byte) (E, error)
	fault  error
}

// Case is the case of an event type T that is written and read. The function
// only converts T to the union's interface. T is a value type; its name is what
// EventType returns, which must be the same for every value.
func Case[T, E interface{ EventType() string }](wrap func(T) E) Variant[E] {
	v := Variant[E]{
		typ: reflect.TypeFor[T](), decode: decoder(wrap),
		encode: func(f Format, e E) ([]byte, error) {
			value := any(e).(T)
			return f.Marshal(&value) // with the methods on the pointer
		},
	}
	switch v.typ.Kind() {
	case reflect.Pointer:
		v.fault = fmt.Errorf("%v is a pointer; events are values, use %v", v.typ, v.typ.Elem())
	case reflect.Interface:
		v.fault = fmt.Errorf("%v is an interface; a case is one concrete type", v.typ)
	default:
		v.name, v.fault = nameOf(wrap)
	}
	return v
}

// nameOf returns the name of an event type. It is asked of the zero value and of one
// whose fields are filled, which also go through wrap.
func nameOf[T, E interface{ EventType() string }](wrap func(T) E) (name string, err error) {
	t := reflect.TypeFor[T]()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v: EventType or the function of its codec.Case panics for the zero value (%v): EventType must be a constant of the type", t, p)
		}
	}()
	var zero, filled T
	shape.Fill(reflect.ValueOf(&filled).Elem())
	name = zero.EventType()
	if other := filled.EventType(); other != name {
		return "", fmt.Errorf("%v: EventType depends on the value, it is %q and %q: it must be a constant of the type", t, name, other)
	}
	for _, value := range []T{zero, filled} {
		if got := reflect.TypeOf(wrap(value)); got != t {
			return "", fmt.Errorf("%v: the function of its codec.Case returns %v: it must return its argument", t, got)
		}
	}
	return name, nil
}

// Legacy is the case of a form that is read but no longer written: events
// stored under name are decoded as T and handed to upcast, which makes today's
// event of them. It must be pure; it may return events of different types.
func Legacy[T any, E interface{ EventType() string }](name string, upcast func(T) E) Variant[E] {
	return Variant[E]{name: name, typ: reflect.TypeFor[T](), legacy: true, decode: decoder(upcast)}
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

// check returns what of the case's type a format can never bring back.
func (v Variant[E]) check(f Format) error {
	c, ok := f.(Checker)
	switch {
	case !ok:
		return nil
	case v.legacy:
		return c.CheckDecoded(v.typ)
	}
	return c.Check(v.typ)
}

// Union is a closed set of event types with their names.
type Union[E interface{ EventType() string }] struct {
	byName map[string]Variant[E]
	byType map[reflect.Type]Variant[E]
	format Format // for writing
	binary Format // for reading payloads that are not JSON

	category string // of the streams whose events these are, "" for any
	partial  bool   // it is a part of another union
}

// NewUnion returns the union of the given cases, with JSON as its format. It
// panics on a faulty set, naming every fault, because such a program must not start:
// a name or type twice, an empty name or one that depends on the value, a pointer
// type, a function of a [Case] that returns something else than its argument, and a
// type with fields that do not come back when it is stored, such as unexported ones
// (see [Checker]).
func NewUnion[E interface{ EventType() string }](variants ...Variant[E]) *Union[E] {
	return NewUnionIn(JSON, variants...)
}

// NewUnionIn is [NewUnion] with another format than JSON for writing, for types that JSON
// cannot store as well. The union also reads JSON.
func NewUnionIn[E interface{ EventType() string }](f Format, variants ...Variant[E]) *Union[E] {
	u := &Union[E]{byName: map[string]Variant[E]{}, byType: map[reflect.Type]Variant[E]{}, format: f}
	if f.Binary() {
		u.binary = f
	}
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
		return fmt.Errorf("%v has an empty event type", v.typ)
	}
	if _, twice := u.byName[v.name]; twice {
		return fmt.Errorf("two cases have the event type %q", v.name)
	}
	u.byName[v.name] = v
	if v.legacy {
		return v.check(u.format)
	}
	if other, twice := u.byType[v.typ]; twice {
		return fmt.Errorf("%v has two cases, %q and %q", v.typ, other.name, v.name)
	}
	u.byType[v.typ] = v
	return v.check(u.format)
}

// WithFormat returns a union of the same cases that writes in format f. It
// reads payloads in f and in JSON. It panics where f is a [Checker] that cannot bring
// back one of the types, naming every fault.
func (u *Union[E]) WithFormat(f Format) *Union[E] {
	var faults []error
	for _, name := range u.Names() {
		faults = append(faults, u.byName[name].check(f))
	}
	if err := errors.Join(faults...); err != nil {
		panic(fmt.Errorf("codec.Union.WithFormat: %w", err))
	}
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
// binary rather than JSON. It fails with [ErrUnknownEvent] for an event that is no case
// of the union, and with [ErrMalformed] for one that cannot be stored as it is, such as
// one with text that is not UTF-8.
func (u *Union[E]) Encode(e E) (eventType string, data []byte, binary bool, err error) {
	v, ok := u.byType[reflect.TypeOf(e)]
	if !ok {
		return "", nil, false, u.notACase(e)
	}
	data, err = guard(v.name, func() ([]byte, error) {
		if name := e.EventType(); name != v.name {
			return nil, fmt.Errorf("EventType of %v returns %q for this value: it must be a constant of the type", v.typ, name)
		}
		data, err := v.encode(u.format, e)
		if err == nil && !u.format.Binary() && replaced(data) {
			err = invalidText(reflect.ValueOf(e))
		}
		return data, err
	})
	if err != nil {
		return "", nil, false, err
	}
	return v.name, data, u.format.Binary(), nil
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

// Decode returns the event of a stored payload. It fails with [ErrUnknownEvent] for a
// name without a case, and with [ErrMalformed] for a payload that does not fit its type,
// also where the type's own unmarshalling or the upcast panics.
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
	if result, err = f(); err != nil && !errors.Is(err, ErrNotInPart) {
		err = fmt.Errorf("%w of %q: %w", ErrMalformed, eventType, err)
	}
	return result, err
}
