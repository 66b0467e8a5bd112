package account

import (
	"errors"
	"fmt"
	"regexp"
)

// ErrID says that a text is not the number of an account.
var ErrID = errors.New("want 1 to 40 letters, digits, '.', '_' or '-', the first a letter or digit")

var id = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$`)

// CheckID reports what is wrong with the number of an account, wrapping [ErrID].
// It is stricter than the store, so that numbers look good in paths and pages.
func CheckID(s string) error {
	if !id.MatchString(s) {
		return fmt.Errorf("account %.50q: %w", s, ErrID)
	}
	return nil
}
