package proptest

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/estest"
)

// The simulated log passes the suite that the real stores pass.
func TestConformance(t *testing.T) {
	t.Parallel()
	estest.Run(t, func(*testing.T) estest.Backend {
		log := NewLog(LogOptions{MaxEventBytes: estest.MaxEventBytes})
		return estest.Backend{
			Store:  log,
			InTx:   es.AnyTx(log.InTx),
			Reopen: func(context.Context) (es.Store, error) { return log, nil },
			DeleteEvent: func(_ context.Context, stream es.StreamID, version int64) error {
				before := len(log.db.events)
				log.db.events = slices.DeleteFunc(log.db.events, func(e *eventRow) bool { return e.Stream == stream && e.Version == version })
				if n := before - len(log.db.events); n != 1 {
					return fmt.Errorf("deleted %d events", n)
				}
				return nil
			},
			Deliver: func(ctx context.Context, f func(tx es.Tx) error, p es.Progress) error {
				return log.Deliver(ctx, func(tx *Tx) error { return f(tx) }, p)
			},
			TakeOver: func(ctx context.Context, o es.TakeOver, f func(tx es.Tx) error) (bool, error) {
				if f == nil {
					return log.TakeOver(ctx, o, nil)
				}
				return log.TakeOver(ctx, o, func(tx *Tx) error { return f(tx) })
			},
			Forget: func(ctx context.Context, subscription string) error {
				return log.within(ctx, func(t *transaction) error { return log.db.forget(t, []string{subscription}, false) })
			},
		}
	})
}
