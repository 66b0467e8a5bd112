package aggregate

import (
	"cmp"
	"context"
	"math/rand/v2"
	"time"
)

// Retry says how often [Repository.Execute] tries, and how long it waits in
// between. The zero value means the defaults.
type Retry struct {
	// Attempts is the number of tries in all. 0 means 30; 1 never retries.
	Attempts int
	// BaseDelay is the longest wait before the second try; it doubles with each
	// further one up to MaxDelay. The actual wait is drawn at random below it
	// ("full jitter"). 0 means 2 ms and 100 ms.
	BaseDelay, MaxDelay time.Duration
}

func (r Retry) withDefaults() Retry {
	return Retry{
		Attempts:  cmp.Or(max(r.Attempts, 0), 30),
		BaseDelay: cmp.Or(max(r.BaseDelay, 0), 2*time.Millisecond),
		MaxDelay:  cmp.Or(max(r.MaxDelay, 0), 100*time.Millisecond),
	}
}

// wait sleeps before the attempt after this one (counted from 1), or returns
// the context's error.
func (r Retry) wait(ctx context.Context, attempt int) error {
	longest := r.MaxDelay
	if shift := attempt - 1; shift < 20 {
		longest = min(r.BaseDelay<<shift, r.MaxDelay)
	}
	timer := time.NewTimer(rand.N(longest + 1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
