package es

import (
	"context"

	"github.com/peatlog/peat/internal/command"
)

// WithCommandID returns a context about the command of this id, such as the id of a
// request or of a message. In it, Execute and Save of an aggregate's repository derive the
// ids of the events that they save from the command's id and the stream. So the command
// lands once per stream, for ever, however often and in whatever process it is repeated:
// a repetition is recognised by these ids, and nothing is written.
//
// In one context a command is executed on a stream once. For a second command on the same
// stream, which would be taken for a repetition, use [WithSubCommand].
//
// The empty id switches all of that off.
func WithCommandID(ctx context.Context, id string) context.Context {
	return command.With(ctx, id, "")
}

// WithCommand is [WithCommandID] with a fingerprint, which says what the command asks for,
// such as a hash of the request's body. It is stored with the events. A repetition with
// another fingerprint is no repetition but the mistake of using an id twice, and fails with
// [ErrCommandReused].
func WithCommand(ctx context.Context, id, fingerprint string) context.Context {
	return command.With(ctx, id, fingerprint)
}

// WithSubCommand returns a context about a part of the command that ctx is about, such as
// the second of two commands on one stream. The name must be the same whenever the command
// is repeated, and another one for each part. Without a command in ctx it returns ctx.
func WithSubCommand(ctx context.Context, name string) context.Context {
	return command.WithPart(ctx, name)
}

// CommandID returns the id of the command that ctx is about, "" if there is none.
func CommandID(ctx context.Context) string { return command.From(ctx).ID }
