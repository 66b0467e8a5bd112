package estest

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/peatlog/peat/es"
)

var txLaws = []law{
	{"streams in one transaction commit together", testTxCommit},
	{"streams in one transaction roll back together", testTxRollback},
	{"a panic in a transaction rolls it back", testTxPanic},
	{"a conflict leaves a transaction usable", testTxConflict},
	{"a transaction reads what it appended and nobody else does", testTxReads},
	{"a locked stream waits for the transaction", testTxLock},
	{"a lock ends with a rollback", testTxLockRollback},
	{"a lock alone makes no stream", testTxLockAlone},
	{"functions for after the commit run after it, once", testTxAfterCommit},
}

var errRefused = errors.New("refused")

func testTxCommit(t *testing.T, b Backend) {
	e1, e2, e3 := event(1), event(2), event(3)
	err := b.InTx(t.Context(), func(tx es.Tx) error {
		mustAppend(t, tx, stream, es.NoStream, e1)
		mustAppend(t, tx, other, es.NoStream, e2)
		if result := mustAppend(t, tx, stream, es.Exact(1), e3); result.Version != 2 {
			t.Errorf("second append has version %d", result.Version)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantIDs(t, b.Store, stream, e1, e3)
	wantIDs(t, b.Store, other, e2)
}

// Row B43.
func testTxRollback(t *testing.T, b Backend) {
	head := event(1)
	mustAppend(t, b.Store, stream, es.NoStream, head)
	err := b.InTx(t.Context(), func(tx es.Tx) error {
		mustAppend(t, tx, stream, es.Exact(1), event(2))
		mustAppend(t, tx, other, es.NoStream, event(3))
		return errRefused
	})
	if err != errRefused { //nolint:errorlint // it must come back as it is
		t.Errorf("got error %v, want the function's own", err)
	}
	wantIDs(t, b.Store, stream, head)
	wantIDs(t, b.Store, other)
	// The versions are free again, and so are the ids.
	e := event(4)
	mustAppend(t, b.Store, stream, es.Exact(1), e)
	wantIDs(t, b.Store, stream, head, e)
}

// Row B88.
func testTxPanic(t *testing.T, b Backend) {
	func() {
		defer func() {
			if p := recover(); p != any(errRefused) {
				t.Errorf("recovered %v, want the function's own panic", p)
			}
		}()
		_ = b.InTx(t.Context(), func(tx es.Tx) error {
			mustAppend(t, tx, stream, es.NoStream, event(1))
			panic(errRefused)
		})
	}()
	e := event(2)
	mustAppend(t, b.Store, stream, es.NoStream, e)
	wantIDs(t, b.Store, stream, e)
}

// Row B44.
func testTxConflict(t *testing.T, b Backend) {
	e1, e2 := event(1), event(2)
	mustAppend(t, b.Store, stream, es.NoStream, e1)
	err := b.InTx(t.Context(), func(tx es.Tx) error {
		_, err := tx.Append(t.Context(), stream, es.NoStream, event(9))
		wantConflict(t, err, stream, es.NoStream, 1)
		_, err = tx.Append(t.Context(), other, es.StreamExists, event(9))
		wantConflict(t, err, other, es.StreamExists, 0)
		mustAppend(t, tx, stream, es.Exact(1), e2)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantIDs(t, b.Store, stream, e1, e2)
	wantIDs(t, b.Store, other)
}

func testTxReads(t *testing.T, b Backend) {
	mustAppend(t, b.Store, stream, es.NoStream, event(1))
	err := b.InTx(t.Context(), func(tx es.Tx) error {
		mustAppend(t, tx, stream, es.Exact(1), event(2))
		if n := len(read(t, tx, stream, es.ReadOptions{})); n != 2 {
			t.Errorf("the transaction reads %d events of the stream, want 2", n)
		}
		if n := len(readAll(t, tx, es.ReadAllOptions{})); n != 2 {
			t.Errorf("the transaction reads %d events of the log, want 2", n)
		}
		if n := len(read(t, b.Store, stream, es.ReadOptions{})); n != 1 {
			t.Errorf("others read %d events before the commit, want 1", n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Rows B34, B84: also a stream that has no events yet. (Row B35 is the opposite
// for mire; here a missing stream can be locked.)
func testTxLock(t *testing.T, b Backend) {
	mustAppend(t, b.Store, other, es.NoStream, event(1))
	for _, id := range []es.StreamID{stream, other} {
		type answer struct {
			result es.AppendResult
			err    error
		}
		done := make(chan answer, 1)
		var before int64
		err := b.InTx(t.Context(), func(tx es.Tx) error {
			var err error
			if before, err = tx.LockStream(t.Context(), id); err != nil {
				return err
			}
			go func() {
				result, err := b.Store.Append(context.WithoutCancel(t.Context()), id, es.Any, event(3))
				done <- answer{result, err}
			}()
			mustAppend(t, tx, id, es.Exact(before), event(2))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		got := <-done
		if got.err != nil || got.result.Version != before+2 {
			t.Errorf("append behind the lock of %s: %+v, %v; want version %d", id, got.result, got.err, before+2)
		}
	}
}

// Row B38.
func testTxLockRollback(t *testing.T, b Backend) {
	for range 2 {
		err := b.InTx(t.Context(), func(tx es.Tx) error {
			if version, err := tx.LockStream(t.Context(), stream); err != nil || version != 0 {
				t.Errorf("version %d, error %v", version, err)
			}
			return errRefused
		})
		if !errors.Is(err, errRefused) {
			t.Fatal(err)
		}
	}
	mustAppend(t, b.Store, stream, es.NoStream, event(1))
}

func testTxLockAlone(t *testing.T, b Backend) {
	err := b.InTx(t.Context(), func(tx es.Tx) error {
		_, err := tx.LockStream(t.Context(), stream)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	wantIDs(t, b.Store, stream)
	anonymous := event(1)
	anonymous.ID = uuid.Nil
	for _, e := range []es.EventData{event(1), anonymous} {
		_, err = b.Store.Append(t.Context(), stream, es.StreamExists, e)
		wantConflict(t, err, stream, es.StreamExists, 0)
	}
	e := event(2)
	mustAppend(t, b.Store, stream, es.NoStream, e)
	wantIDs(t, b.Store, stream, e)
}

// Row B79.
func testTxAfterCommit(t *testing.T, b Backend) {
	ran, e := 0, event(1)
	err := b.InTx(t.Context(), func(tx es.Tx) error {
		tx.AfterCommit(func() {
			ran++
			wantIDs(t, b.Store, stream, e)                        // visible to everybody
			mustAppend(t, b.Store, stream, es.Exact(1), event(2)) // no lock held
		})
		mustAppend(t, tx, stream, es.NoStream, e)
		if ran != 0 {
			t.Error("ran before the commit")
		}
		return nil
	})
	if err != nil || ran != 1 {
		t.Errorf("ran %d times, error %v", ran, err)
	}
	err = b.InTx(t.Context(), func(tx es.Tx) error {
		tx.AfterCommit(func() { ran++ })
		return errRefused
	})
	if !errors.Is(err, errRefused) || ran != 1 {
		t.Errorf("after a rollback: ran %d times, error %v", ran, err)
	}
}
