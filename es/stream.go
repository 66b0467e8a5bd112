package es

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxStreamIDBytes bounds a printed stream id, so that every store can index it.
const maxStreamIDBytes = 512

// StreamID names a stream: the category says what kind of thing it is
// ("account"), the key which one ("42").
//
// It prints as "account-42". A category holds no '-', so the first one always
// ends it and two different ids never print alike; a key may hold any number of
// them. The zero value is not a valid id.
type StreamID struct {
	Category string
	Key      string
}

// NewStreamID returns the id of a stream, or an error that wraps
// [ErrInvalidStream] and says what is wrong with it.
func NewStreamID(category, key string) (StreamID, error) {
	id := StreamID{Category: category, Key: key}
	return id, id.Validate()
}

// ParseStreamID reads what [StreamID.String] prints.
func ParseStreamID(s string) (StreamID, error) {
	category, key, ok := strings.Cut(s, "-")
	if !ok {
		return StreamID{}, fmt.Errorf("%w %q: want category-key, such as account-42", ErrInvalidStream, s)
	}
	return NewStreamID(category, key)
}

// String prints the id as category-key.
func (id StreamID) String() string { return id.Category + "-" + id.Key }

// Validate reports what is wrong with the id, wrapping [ErrInvalidStream].
// Stores call it for every stream that they are given.
func (id StreamID) Validate() error {
	if err := ValidateCategory(id.Category); err != nil {
		return err
	}
	switch {
	case id.Key == "":
		return fmt.Errorf("%w %q: the key is empty", ErrInvalidStream, id)
	case !printable(id.Key):
		return fmt.Errorf("%w %q: the key holds a control character or is not UTF-8", ErrInvalidStream, id)
	case len(id.Category)+1+len(id.Key) > maxStreamIDBytes:
		return fmt.Errorf("%w %.40q…: longer than %d bytes", ErrInvalidStream, id, maxStreamIDBytes)
	}
	return nil
}

// ValidateCategory reports what is wrong with a category, wrapping [ErrInvalidStream].
func ValidateCategory(category string) error {
	switch {
	case category == "":
		return fmt.Errorf("%w: the category is empty", ErrInvalidStream)
	case strings.Contains(category, "-"):
		return fmt.Errorf("%w: the category %q holds a '-', which ends a category", ErrInvalidStream, category)
	case !printable(category):
		return fmt.Errorf("%w: the category %q holds a control character or is not UTF-8", ErrInvalidStream, category)
	case len(category) > maxStreamIDBytes/2:
		return fmt.Errorf("%w: the category %.40q… is longer than %d bytes", ErrInvalidStream, category, maxStreamIDBytes/2)
	}
	return nil
}

// MarshalText implements [encoding.TextMarshaler].
func (id StreamID) MarshalText() ([]byte, error) {
	if err := id.Validate(); err != nil {
		return nil, err
	}
	return []byte(id.String()), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (id *StreamID) UnmarshalText(text []byte) error {
	parsed, err := ParseStreamID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

func printable(s string) bool {
	for i := range len(s) { // nearly all are ASCII, and every event read asks
		if s[i] < ' ' || s[i] >= 0x7f {
			return printableRunes(s[i:])
		}
	}
	return true
}

func printableRunes(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}
