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
// When another writer was faster it loads afresh and decides again, up to the
// limit of [Retry], then it returns the es.ErrConflict. When a connection is lost
// during the commit it repeats the save until it knows the outcome. decide may
// therefore run several times: it must depend on its argument alone and change
// nothing. Its own error is returned as it is, and nothing is written.
//
// In a context with a command id (es.WithCommandID), a command that has landed
// before is recognised, decide is not called, and the root's LastAppend says
// Duplicate. With snapshots this looks back over the last 100 events before the
// snapshot, without them over the whole stream.
//
// In a transaction (see [Repository.In]) the stream is locked first, so nobody
// can be faster.
func (r *Repository[A, E]) Execute(ctx context.Context, key string, decide func(A) ([]E, error)) (*Root[A, E], error) {
	stream, err := es.NewStreamID(r.def.category, key)
	if err != nil {
		return nil, err
	}
	if r.tx != nil {
		if _, err := r.tx.LockStream(ctx, stream); err != nil {
			return nil, err
		}
		root, _, err := r.attempt(ctx, stream, decide)
		return root, err
	}
	for attempt := 1; ; attempt++ {
		root, conflict, err := r.attempt(ctx, stream, decide)
		if !conflict || attempt >= r.retry.Attempts {
			return root, err
		}
		if ctxErr := r.retry.wait(ctx, attempt); ctxErr != nil {
			return nil, errors.Join(ctxErr, err)
		}
	}
}

// attempt loads, decides and saves once. It tells a conflict of the save from
// any error that decide returns.
func (r *Repository[A, E]) attempt(ctx context.Context, stream es.StreamID, decide func(A) ([]E, error)) (root *Root[A, E], conflict bool, err error) {
	cmd := command{id: es.CommandID(ctx), stream: stream}
	root, landed, err := r.loadFor(ctx, cmd)
	if err != nil || landed {
		return root, false, err
	}
	events, err := decide(root.state)
	if err != nil {
		return nil, false, err
	}
	root.Record(events...)
	if err := r.saveForSure(ctx, root, cmd.eventID); err != nil {
		return nil, errors.Is(err, es.ErrConflict), err
	}
	if root.result.Duplicate && cmd.id != "" {
		// The same command landed from elsewhere after our load: what counts is
		// what is stored.
		root, _, err = r.loadFor(ctx, cmd)
	}
	return root, false, err
}

// saveForSure repeats a save whose outcome is unknown: the ids stay the same, so
// it lands once.
func (r *Repository[A, E]) saveForSure(ctx context.Context, root *Root[A, E], newID func(int) (uuid.UUID, error)) error {
	for attempt := 1; ; attempt++ {
		err := r.save(ctx, root, newID)
		if !errors.Is(err, es.ErrOutcomeUnknown) || r.tx != nil || attempt >= r.retry.Attempts {
			return err
		}
		if ctxErr := r.retry.wait(ctx, attempt); ctxErr != nil {
			return errors.Join(ctxErr, err)
		}
	}
}

// loadFor loads the aggregate and tells whether the command has landed in it.
func (r *Repository[A, E]) loadFor(ctx context.Context, cmd command) (*Root[A, E], bool, error) {
	look, err := cmd.lookout()
	if err != nil {
		return nil, false, err
	}
	root, err := r.load(ctx, cmd.stream, look)
	if err != nil || look == nil || !look.found {
		return root, false, err
	}
	root.result = es.AppendResult{Version: root.version, Position: root.position, Duplicate: true}
	return root, true, nil
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

func (c command) lookout() (*lookout, error) {
	if c.id == "" {
		return nil, nil
	}
	first, err := c.eventID(0)
	return &lookout{first: first}, err
}

// lookout watches the events of a load for the first one of a command. A nil
// lookout watches for nothing.
type lookout struct {
	first uuid.UUID
	found bool
}

func (l *lookout) see(rec es.Recorded) {
	if l != nil && rec.ID == l.first {
		l.found = true
	}
}
