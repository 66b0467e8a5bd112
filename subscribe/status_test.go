package subscribe_test

import (
	"context"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/subscribe"
)

func TestStatusNamesWhoHoldsASettledReaderBack(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.create(t)
	c.exec(t, "CREATE DATABASE elsewhere")
	foreign := connect(t, c.DSN("elsewhere"))
	var pid int
	if err := foreign.QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(&pid); err != nil {
		t.Fatal(err)
	}
	execOn(t, foreign, "BEGIN")
	execOn(t, foreign, "SELECT pg_current_xact_id() /* the culprit */")
	prepared := connect(t, c.URL())
	execOn(t, prepared, "BEGIN")
	execOn(t, prepared, "CREATE TABLE t (n int)")
	execOn(t, prepared, "PREPARE TRANSACTION 'forgotten'")

	mustAppend(t, c.store, streamS, es.NoStream, marked("held"))
	settled, err := subscribe.New(c.store, "settled", subscribe.Options{Horizon: es.Settled})
	if err != nil {
		t.Fatal(err)
	}
	if got := mustPoll(t, settled); len(got) > 0 {
		t.Errorf("delivered %v", places(got))
	}
	status, err := settled.Status(t.Context())
	if err != nil || len(status.Pins) != 2 || status.Name != "settled" || status.Horizon != es.Settled || status.Revision != 0 {
		t.Fatalf("status %+v, %v", status, err)
	}
	if pin := status.Pins[0]; pin.PID != pid || pin.Database != "elsewhere" || pin.Query != "SELECT pg_current_xact_id() /* the culprit */" || pin.User == "" || pin.Age <= 0 {
		t.Errorf("the oldest pin is %+v, want process %d", pin, pid)
	}
	if pin := status.Pins[1]; pin.Prepared != "forgotten" || pin.PID != 0 {
		t.Errorf("the second pin is %+v, want the prepared transaction", pin)
	}
	// Ending the first leaves the second; ending both lets the event through.
	execOn(t, foreign, "ROLLBACK")
	if got := mustPoll(t, settled); len(got) > 0 {
		t.Errorf("delivered %v behind the prepared transaction", places(got))
	}
	execOn(t, prepared, "ROLLBACK PREPARED 'forgotten'")
	wantPlaces(t, collect(t, settled, 1), "s@1")
	mustEnd(t, settled.Checkpoint)
	if status, err = settled.Status(t.Context()); err != nil || status.Revision != 1 || status.Checkpoint == "" {
		t.Errorf("status %+v, %v", status, err)
	}
	pins, err := c.store.Pins(context.WithoutCancel(t.Context()))
	if err != nil || slices.ContainsFunc(pins, func(p es.Pin) bool { return p.PID == pid }) {
		t.Errorf("pins %+v, %v", pins, err)
	}
	committed, err := subscribe.New(c.store, "committed", subscribe.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if status, err := committed.Status(t.Context()); err != nil || len(status.Pins) > 0 {
		t.Errorf("status %+v, %v", status, err)
	}
}

// connect returns a connection that is closed when the test ends.
func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func execOn(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}
