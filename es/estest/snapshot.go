package estest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/peatlog/peat/es"
)

var snapshotLaws = []law{
	{"the latest snapshot is kept, outside the log", testSnapshot},
}

// Defect W17: snapshots are no events.
func testSnapshot(t *testing.T, b Backend) {
	if _, ok, err := b.Store.ReadSnapshot(t.Context(), stream); ok || err != nil {
		t.Errorf("a stream without a snapshot: %v, %v", ok, err)
	}
	write := func(version int64, schema int, data string) es.Snapshot {
		s := es.Snapshot{Stream: stream, Version: version, EventID: uuid.New(), Schema: schema, Data: []byte(data)}
		if err := b.Store.WriteSnapshot(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	want := func(want es.Snapshot) {
		t.Helper()
		got, ok, err := b.Store.ReadSnapshot(t.Context(), stream)
		if diff := cmp.Diff(want, got); !ok || err != nil || diff != "" {
			t.Errorf("%v, %v, snapshot (-want +got):\n%s", ok, err, diff)
		}
		err = b.InTx(t.Context(), func(tx es.Tx) error {
			got, ok, err := tx.ReadSnapshot(t.Context(), stream)
			if diff := cmp.Diff(want, got); !ok || diff != "" {
				t.Errorf("in a transaction: %v, snapshot (-want +got):\n%s", ok, diff)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	want(write(5, 1, "five"))
	six := write(6, 1, "six\x00\xff")
	want(six)
	write(4, 1, "an older one loses")
	want(six)
	want(write(3, 2, "another schema wins"))
	if n := len(readAll(t, b.Store, es.ReadAllOptions{})); n != 0 {
		t.Errorf("%d events in the log", n)
	}
}
