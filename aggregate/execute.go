package aggregate

import (
	"context"
	"errors"
	"strconv"

	"github.com/google/uuid"

	"github.com/peatlog/peat/es"
)

// Execute loads the aggregate (a new one where there are no events), lets
// decide choose events, and saves them. It returns the root after the save.
//
// When another writer was faster it loads what is new and decides again, up to the
// limit of [Retry], then it returns the es.ErrConflict. When a connection is lost
// during the commit it repeats the save until it knows the outcome. decide may
// therefore run several times: it must depend on its argument alone and change
// nothing; what it does to its argument concerns nobody else. Its own error is
// returned as it is, and nothing is written; if it panics, so does this Execute.
//
// Concurrent calls on one stream are combined: their decisions run one after
// another, in the order of the calls, on the state in memory, and their events
// land in one append. Each call has the outcome that it would have alone, but for
// the Position of LastAppend, which is that of the last event of the append, so at
// or behind that of the call's own. Its decision runs on another goroutine, or on the
// caller's if no other call waits. A call whose context ends before its decision is
// withdrawn. After that it returns with es.ErrOutcomeUnknown: at once, or, on its own
// goroutine, when the decision has ended, unless it is certain that nothing was written.
//
// In a context with a command id (es.WithCommandID), a command that has landed
// before is recognised, decide is not called, and the root's LastAppend says
// Duplicate. With snapshots this looks back over the last 100 events before the
// snapshot, without them over the whole stream.
//
// In a transaction (see [Repository.In]) the stream is locked first, so nobody
// can be faster, and calls are not combined.
func (r *Repository[A, E]) Execute(ctx context.Context, key string, decide func(A) ([]E, error)) (*Root[A, E], error) {
	stream, err := es.NewStreamID(r.def.category, key)
	if err != nil {
		return nil, err
	}
	if r.tx == nil {
		return r.lines.execute(r, newCall(ctx, stream, decide))
	}
	if _, err := r.tx.LockStream(ctx, stream); err != nil {
		return nil, err
	}
	return r.executeOnce(ctx, command{id: es.CommandID(ctx), stream: stream}, decide)
}

// executeOnce loads, decides and saves in a transaction.
func (r *Repository[A, E]) executeOnce(ctx context.Context, cmd command, decide func(A) ([]E, error)) (*Root[A, E], error) {
	var past history
	if cmd.id != "" {
		past = history{}
	}
	root, err := r.load(ctx, cmd.stream, past)
	if err != nil {
		return nil, err
	}
	if landed, err := past.holds(cmd); err != nil || landed {
		root.result = es.AppendResult{Version: root.version, Position: root.position, Duplicate: true}
		return root, err
	}
	events, err := decide(root.state)
	if err != nil {
		return nil, err
	}
	root.Record(events...)
	if err := r.save(ctx, root, cmd.eventID); err != nil {
		return nil, err
	}
	return root, nil
}

// saveForSure repeats a save whose outcome is unknown: the ids stay the same, so
// it lands once.
func (r *Repository[A, E]) saveForSure(ctx context.Context, root *Root[A, E]) error {
	for attempt := 1; ; attempt++ {
		err := r.Save(ctx, root)
		if !errors.Is(err, es.ErrOutcomeUnknown) || attempt >= r.retry.Attempts {
			return err
		}
		if ctxErr := r.retry.wait(ctx, attempt); ctxErr != nil {
			return errors.Join(ctxErr, err)
		}
	}
}

// command is what is to be executed on a stream; its id is empty if it has none.
type command struct {
	id     string
	stream es.StreamID
}

// commandSpace is the namespace of the ids of commands' events (RFC 9562, version 5).
var commandSpace = uuid.MustParse("0d6d4b6e-6f1c-4f6f-9b43-0c1f6f2a7d11")

// eventID returns the id of the command's i-th event: derived from the
// command's id where it has one, drawn where not.
func (c command) eventID(i int) (uuid.UUID, error) {
	if c.id == "" {
		return uuid.NewV7()
	}
	return uuid.NewSHA1(commandSpace, []byte(c.stream.String()+"\x00"+c.id+"\x00"+strconv.Itoa(i))), nil
}

// history holds the ids of a stream's events, as far as they were loaded, for
// recognising commands. A nil history takes no note.
type history map[uuid.UUID]struct{}

func (h history) see(id uuid.UUID) {
	if h != nil {
		h[id] = struct{}{}
	}
}

// holds reports whether the command has landed.
func (h history) holds(cmd command) (bool, error) {
	if cmd.id == "" {
		return false, nil
	}
	first, err := cmd.eventID(0)
	_, landed := h[first]
	return landed, err
}
