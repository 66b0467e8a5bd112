package window

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/peatlog/peat/es"
)

// version is the version of the stored form of a cursor.
const version = 1

// Cursor is where a reader stands. It is a value: the next batch is a function of
// the cursor and the log.
type Cursor struct {
	Horizon es.Horizon
	// From is delivered.
	From Frontier
	// To is the end of the window that is being delivered, nil between windows.
	To *Frontier
	// Position is how far into the window, 0 for nothing of it.
	Position int64
	// High is the highest position ever delivered.
	High int64
	// Incarnation is that of the server, as long as the cursor is only kept in
	// memory. A stored cursor has none: its commit has made all that it knows
	// durable.
	Incarnation string
}

// stored is a cursor as text.
type stored struct {
	Version  int       `json:"v"`
	Horizon  string    `json:"horizon"`
	From     Frontier  `json:"from"`
	To       *Frontier `json:"to,omitempty"`
	Position int64     `json:"position,omitempty"`
	High     int64     `json:"high,omitempty"`
	// Last, so that it can be told at a glance.
	Incarnation string `json:"incarnation,omitempty"`
}

// Checkpoint returns the cursor as a checkpoint.
func (c Cursor) Checkpoint() es.Checkpoint {
	text, err := json.Marshal(stored{version, c.Horizon.String(), c.From, c.To, c.Position, c.High, c.Incarnation})
	if err != nil {
		panic(err) // there is nothing in it that cannot be marshalled
	}
	return es.Checkpoint(text)
}

// Parse reads a checkpoint, which the empty one is not. The error says what is
// wrong with it.
func Parse(cp es.Checkpoint) (Cursor, error) {
	var s stored
	if err := json.Unmarshal([]byte(cp), &s); err != nil {
		return Cursor{}, fmt.Errorf("not a checkpoint: %w", err)
	}
	switch {
	case s.Version != version:
		return Cursor{}, fmt.Errorf("checkpoint of version %d, this program knows %d", s.Version, version)
	case s.Horizon != es.Committed.String() && s.Horizon != es.Settled.String():
		return Cursor{}, fmt.Errorf("checkpoint with the unknown horizon %q", s.Horizon)
	}
	horizon := es.Committed
	if s.Horizon == es.Settled.String() {
		horizon = es.Settled
	}
	for _, f := range []*Frontier{&s.From, s.To} {
		if f != nil && (f.Snapshot.Xmin < FirstXID || f.Next < f.Snapshot.Xmax || f.LastPosition < 0) {
			return Cursor{}, errors.New("checkpoint with an impossible frontier")
		}
	}
	return Cursor{horizon, s.From, s.To, s.Position, s.High, s.Incarnation}, nil
}

// Durable returns a checkpoint as it is to be stored, and the incarnation in which that
// is allowed, "" for any. What is no checkpoint of a cursor is returned as it is.
func Durable(cp es.Checkpoint) (_ es.Checkpoint, incarnation string) {
	c, err := Parse(cp)
	if err != nil {
		return cp, ""
	}
	incarnation, c.Incarnation = c.Incarnation, ""
	return c.Checkpoint(), incarnation
}

// Survived returns an error for a cursor that a crash has overtaken.
func (c Cursor) Survived(incarnation string) error {
	if c.Incarnation != "" && c.Incarnation != incarnation {
		return es.ErrLostCheckpoint
	}
	return nil
}

// Until returns where the next window ends: now, or, for a cursor that is still in
// an earlier epoch, the end of that. A cursor that is ahead of now comes from
// another cluster.
func (c Cursor) Until(now Frontier, epochs Epochs) (Frontier, error) {
	if _, _, err := epochs.Bounds(c.From.Epoch); err != nil {
		return Frontier{}, fmt.Errorf("%w: %w", es.ErrForeignEpoch, err)
	}
	for _, e := range epochs {
		if e.Number > c.From.Epoch {
			return epochs.Begin(e.Number)
		}
	}
	if c.From.Next > now.Next {
		return Frontier{}, fmt.Errorf("%w: the checkpoint knows transaction %d, the next one here is %d; has the log moved? run postgres.Adopt",
			es.ErrForeignEpoch, c.From.Next, now.Next)
	}
	return now, nil
}

// Open begins the window up to the frontier to, unless nothing can have become
// visible since From; then it returns false.
func (c Cursor) Open(to Frontier) (Cursor, bool) {
	same := c.From.Snapshot.Equal(to.Snapshot)
	if c.Horizon == es.Settled {
		same = c.From.Snapshot.Xmin == to.Snapshot.Xmin
	}
	if same && c.From.Epoch == to.Epoch {
		return c, false
	}
	c.To, c.Position = &to, 0
	return c, true
}

// Window returns the window that is open.
func (c Cursor) Window(epochs Epochs) Window {
	return Window{Horizon: c.Horizon, From: c.From, To: *c.To, Epochs: epochs, After: c.Position}
}

// Delivered returns the cursor behind events of the open window, which are in order.
func (c Cursor) Delivered(events []es.Recorded) Cursor {
	if len(events) > 0 {
		c.Position = events[len(events)-1].Position
		c.High = max(c.High, c.Position)
	}
	return c
}

// Close ends the open window, of which nothing is left.
func (c Cursor) Close() Cursor {
	c.From, c.To, c.Position = *c.To, nil, 0
	return c
}
