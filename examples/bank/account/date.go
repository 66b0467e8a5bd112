package account

import (
	"fmt"
	"time"
)

// Date is a day of the calendar, printed and stored as "1993-12-31". Dates
// compare in the order of time with <. The zero value is no date.
type Date string

// ParseDate reads a day in the given layout of package time, such as "060102".
func ParseDate(layout, s string) (Date, error) {
	t, err := time.Parse(layout, s)
	if err != nil {
		return "", fmt.Errorf("%q is not a date of the form %s", s, layout)
	}
	return Date(t.Format(time.DateOnly)), nil
}
