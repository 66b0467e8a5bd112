// Package command carries the command that a context is about.
package command

import (
	"context"
	"strings"
	"sync"
)

// Command is what is to be done once. The zero value is none.
type Command struct {
	// ID names the command. Fingerprint says what it asks for, "" if the caller did not
	// say.
	ID, Fingerprint string
	// Key stands for the ID, and is that of no other command: the parts of a command have
	// their parent's and their name's, and no id or name can look like that.
	Key string

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
	return with(ctx, Command{ID: id, Key: escape(id), Fingerprint: fingerprint})
}

// WithPart returns a context about a part of the command that ctx is about, ctx itself
// without one.
func WithPart(ctx context.Context, name string) context.Context {
	c := From(ctx)
	if c.ID == "" {
		return ctx
	}
	return with(ctx, Command{ID: c.ID + "/" + name, Key: c.Key + "\x00\x02" + escape(name), Fingerprint: c.Fingerprint})
}

func with(ctx context.Context, c Command) context.Context {
	c.used = &used{streams: map[string]any{}}
	return context.WithValue(ctx, key{}, c)
}

// escape leaves no zero byte that a one does not follow.
func escape(s string) string { return strings.ReplaceAll(s, "\x00", "\x00\x01") }

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
