package window

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// XID is a 64-bit transaction id (xid8). Ids are given out in order and never again.
type XID uint64

// FirstXID is the first id that a transaction can have.
const FirstXID XID = 3

// Snapshot tells which transactions had ended at a moment (pg_snapshot).
type Snapshot struct {
	// Xmin is the oldest transaction that was still running. All before it had ended.
	Xmin XID
	// Xmax is one past the latest transaction that had ended, which is not the
	// next id: transactions at and above it may be running.
	Xmax XID
	// Running are the transactions from Xmin up to Xmax that were still running, sorted.
	Running []XID
}

// Sees reports whether the transaction had ended at the moment of the snapshot.
func (s Snapshot) Sees(xid XID) bool {
	if xid < s.Xmin || xid >= s.Xmax {
		return xid < s.Xmin
	}
	_, running := slices.BinarySearch(s.Running, xid)
	return !running
}

// String prints the snapshot as PostgreSQL does: xmin:xmax:running,….
func (s Snapshot) String() string {
	b := strconv.AppendUint(nil, uint64(s.Xmin), 10)
	b = append(b, ':')
	b = strconv.AppendUint(b, uint64(s.Xmax), 10)
	b = append(b, ':')
	for i, xid := range s.Running {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(xid), 10)
	}
	return string(b)
}

// Next returns the next transaction id, of which only the low 32 bits are known: it
// is the first such id that is not below Xmax.
func (s Snapshot) Next(low uint32) XID {
	next := s.Xmax&^math.MaxUint32 | XID(low)
	if next < s.Xmax {
		next += 1 << 32
	}
	return next
}

// Equal reports whether the snapshots see the same.
func (s Snapshot) Equal(o Snapshot) bool {
	return s.Xmin == o.Xmin && s.Xmax == o.Xmax && slices.Equal(s.Running, o.Running)
}

// ParseSnapshot reads what [Snapshot.String] prints.
func ParseSnapshot(text string) (Snapshot, error) {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return Snapshot{}, fmt.Errorf("%q is not a snapshot: want xmin:xmax:running", text)
	}
	var s Snapshot
	bad := false
	number := func(text string) XID {
		n, err := strconv.ParseUint(text, 10, 64)
		bad = bad || err != nil
		return XID(n)
	}
	s.Xmin, s.Xmax = number(parts[0]), number(parts[1])
	if parts[2] != "" {
		for xid := range strings.SplitSeq(parts[2], ",") {
			s.Running = append(s.Running, number(xid))
		}
	}
	bad = bad || s.Xmin < FirstXID || s.Xmax < s.Xmin
	for i, xid := range s.Running {
		bad = bad || xid < s.Xmin || xid >= s.Xmax || i > 0 && xid <= s.Running[i-1]
	}
	if bad {
		return Snapshot{}, fmt.Errorf("%q is not a snapshot", text)
	}
	return s, nil
}

// MarshalText implements [encoding.TextMarshaler].
func (s Snapshot) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (s *Snapshot) UnmarshalText(text []byte) error {
	parsed, err := ParseSnapshot(string(text))
	if err != nil {
		return err
	}
	*s = parsed
	return nil
}
