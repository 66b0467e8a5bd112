// Package listeners keeps the functions that a store calls after its appends.
package listeners

import (
	"slices"
	"sync"
)

// Listeners are functions to call. The zero value has none. Safe for concurrent use.
type Listeners struct {
	mu sync.Mutex
	// all is replaced and never changed, because it is called without the lock.
	all []*func()
}

// Add adds a function until remove is called.
func (l *Listeners) Add(f func()) (remove func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(slices.Clip(l.all), &f)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all = slices.DeleteFunc(slices.Clone(l.all), func(other *func()) bool { return other == &f })
	}
}

// Call calls all of them, one after another.
func (l *Listeners) Call() {
	l.mu.Lock()
	all := l.all
	l.mu.Unlock()
	for _, f := range all {
		(*f)()
	}
}
