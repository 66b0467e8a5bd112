// Package command carries the command that a context is about.
package command

import (
	"context"
	"sync"
)

// Command is what is to be done once. The zero value is none.
type Command struct {
	// ID names the command. Fingerprint says what it asks for, "" if the caller did not
	// say.
	ID, Fingerprint string

	used *used
}

// used are the streams that the command was executed on in its context.
type used struct {
	mu      sync.Mutex
	streams map[string]bool
}

type key struct{}

// With returns a context about a command of this id, none if it is empty.
func With(ctx context.Context, id, fingerprint string) context.Context {
	return context.WithValue(ctx, key{}, Command{ID: id, Fingerprint: fingerprint, used: &used{streams: map[string]bool{}}})
}

// From returns the command that a context is about.
func From(ctx context.Context) Command {
	c, _ := ctx.Value(key{}).(Command)
	return c
}

// Use notes that the command was executed on a stream.
func (c Command) Use(stream string) {
	if c.used == nil {
		return
	}
	c.used.mu.Lock()
	defer c.used.mu.Unlock()
	c.used.streams[stream] = true
}

// Used reports whether the command was executed on a stream in its context.
func (c Command) Used(stream string) bool {
	if c.used == nil || c.ID == "" {
		return false
	}
	c.used.mu.Lock()
	defer c.used.mu.Unlock()
	return c.used.streams[stream]
}
