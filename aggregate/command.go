package aggregate

import (
	"context"
	"fmt"
	"strconv"

	"github.com/google/uuid"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/command"
)

// order is a command that is to be executed on a stream. Its id is empty if it has none.
type order struct {
	command.Command
	stream es.StreamID
	tx     es.Tx // that it is to be executed in, nil for none
}

func orderFrom(ctx context.Context, stream es.StreamID, tx es.Tx) order {
	return order{command.From(ctx), stream, tx}
}

// commandSpace is the namespace of the ids of commands' events (RFC 9562, version 5).
var commandSpace = uuid.MustParse("0d6d4b6e-6f1c-4f6f-9b43-0c1f6f2a7d11")

// eventID returns the id of the command's i-th event: derived from the
// command's id where it has one, drawn where not.
func (o order) eventID(i int) (uuid.UUID, error) {
	if o.ID == "" {
		return uuid.NewV7()
	}
	return o.id(i), nil
}

// id returns the derived id of the command's i-th event.
func (o order) id(i int) uuid.UUID {
	return uuid.NewSHA1(commandSpace, []byte(o.stream.String()+"\x00"+o.Key+"\x00"+strconv.Itoa(i)))
}

// firstID is the id that the command is found by, the nil UUID if it has none.
func (o order) firstID() uuid.UUID {
	if o.ID == "" {
		return uuid.Nil
	}
	return o.id(0)
}

// repeated returns an error for a second command of one id on one stream in one context.
func (o order) repeated() error {
	if !o.Used(o.stream.String(), o.tx) {
		return nil
	}
	return o.reused()
}

func (o order) reused() error {
	return fmt.Errorf("%w: the command %q was executed on %s in this context already; for another command on the same stream use es.WithSubCommand, and to repeat this one a new context",
		es.ErrCommandReused, o.ID, o.stream)
}

// done notes that the command was executed, for good when that is committed.
func (o order) done() {
	if o.tx == nil {
		o.Use(o.stream.String(), nil)
		return
	}
	o.Use(o.stream.String(), o.tx)
	o.tx.AfterCommit(func() { o.Use(o.stream.String(), nil) })
}

// same returns an error if the event that the command is found by is that of another one.
func (o order) same(landed es.Recorded) error {
	stored := landed.Metadata.CommandFingerprint
	if stored == "" || o.Fingerprint == "" || stored == o.Fingerprint {
		return nil
	}
	return fmt.Errorf("%w: the command %q on %s has landed as version %d with the fingerprint %q, this one has %q; give each command an id of its own",
		es.ErrCommandReused, o.ID, o.stream, landed.Version, stored, o.Fingerprint)
}

// metadata returns what goes with the command's events.
func (o order) metadata(ctx context.Context) es.Metadata {
	m := es.MetadataFrom(ctx)
	if o.ID != "" && o.Fingerprint != "" {
		m.CommandFingerprint = o.Fingerprint
	}
	return m
}

// landed reports whether the command is in the log.
func (r *Repository[A, E]) landed(ctx context.Context, o order) (bool, error) {
	found, err := r.store.FindEvents(ctx, o.firstID())
	if err != nil || len(found) == 0 {
		return false, err
	}
	return true, o.same(found[0])
}
