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

// used are the streams that the command was executed on in its context: each with nil, or
// with the transaction that it was executed in, whose end is not known.
type used struct {
	mu      sync.Mutex
	streams map[string]any
}

type key struct{}

// With returns a context about a command of this id, none if it is empty.
func With(ctx context.Context, id, fingerprint string) context.Context {
	return context.WithValue(ctx, key{}, Command{ID: id, Fingerprint: fingerprint, used: &used{streams: map[string]any{}}})
}

// From returns the command that a context is about.
func From(ctx context.Context) Command {
	c, _ := ctx.Value(key{}).(Command)
	return c
}

// Same reports whether two commands are that of one context.
func (c Command) Same(o Command) bool { return c.used != nil && c.used == o.used }

// Use notes that the command was executed on a stream, in a transaction, or for good where
// that is nil.
func (c Command) Use(stream string, tx any) {
	if c.used == nil {
		return
	}
	c.used.mu.Lock()
	defer c.used.mu.Unlock()
	c.used.streams[stream] = tx
}

// Used reports whether the command was executed on a stream in its context, for good or in
// this transaction. What was executed in another one may have been rolled back.
func (c Command) Used(stream string, tx any) bool {
	if c.used == nil || c.ID == "" {
		return false
	}
	c.used.mu.Lock()
	defer c.used.mu.Unlock()
	in, ok := c.used.streams[stream]
	return ok && (in == nil || in == tx)
}
