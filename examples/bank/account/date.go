package account

import "time"

// Date is a day of the calendar, printed and stored as "1993-12-31". Dates
// compare in the order of time with <. The zero value is no date.
type Date string

// DateOf returns the day of t in its own time zone.
func DateOf(t time.Time) Date { return Date(t.Format(time.DateOnly)) }
