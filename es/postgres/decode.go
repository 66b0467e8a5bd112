package postgres

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/peatlog/peat/es"
)

// decoder turns the rows of a page of the log into events. Where the connection has
// the formats that pgx asks for by itself, it reads them without pgx's scan, which
// costs as much as all the rest of a replay; else (the simple protocol, types that
// somebody has registered) it scans.
type decoder struct {
	row   row
	of    es.StreamID // whose events they are; the zero value where each row names its stream
	name  string      // what the first column holds then
	head  int64       // what it holds otherwise: the last version of the stream
	dest  []any
	plain bool // the formats are the known ones
	types interned
	arena []byte // where payloads go
}

// formats are those of the columns behind the first: 0 is text, 1 is binary.
var formats = [...]int16{1, 1, 1, 0, 0, 1, 0, 1}

// newDecoder returns the decoder of a result whose rows are events of one stream and
// begin with its last version, or of any stream, and begin with that, if of is the zero
// value.
func newDecoder(fields []pgconn.FieldDescription, of es.StreamID) *decoder {
	d := &decoder{of: of}
	first := int16(0)
	d.dest = d.row.dest(&d.name)
	if of != (es.StreamID{}) {
		first, d.dest = 1, d.row.dest(&d.head)
	}
	d.plain = len(fields) == 1+len(formats) && fields[0].Format == first
	for i := range formats {
		d.plain = d.plain && fields[1+i].Format == formats[i]
	}
	return d
}

// event puts the event of the current row into e, which is the zero value.
func (d *decoder) event(rows pgx.Rows, e *es.Recorded) error {
	if v := rows.RawValues(); d.plain && d.known(v) {
		return d.read(v, e)
	}
	d.row = row{}
	if err := rows.Scan(d.dest...); err != nil {
		return err
	}
	var err error
	if d.row.Stream, err = d.stream(); err != nil {
		return err
	}
	*e, err = d.row.recorded()
	return err
}

// stream returns whose event the current row is.
func (d *decoder) stream() (es.StreamID, error) {
	if d.of != (es.StreamID{}) {
		return d.of, nil
	}
	return es.ParseStreamID(d.name)
}

// known tells whether the values are as the table's constraints have them.
func (d *decoder) known(v [][]byte) bool {
	first := v[0] != nil
	if d.of != (es.StreamID{}) {
		first = len(v[0]) == 8
	}
	return first && len(v[1]) == 8 && len(v[2]) == 8 && len(v[3]) == 16 && len(v[8]) == 8 && v[4] != nil
}

// epoch2000 is the beginning of PostgreSQL's time in microseconds.
const epoch2000 = 946_684_800_000_000

func (d *decoder) read(v [][]byte, e *es.Recorded) (err error) {
	if d.of != (es.StreamID{}) {
		d.head = int64(binary.BigEndian.Uint64(v[0]))
	} else {
		d.name = string(v[0])
	}
	if e.Stream, err = d.stream(); err != nil {
		return err
	}
	e.Version = int64(binary.BigEndian.Uint64(v[1]))
	e.Position = int64(binary.BigEndian.Uint64(v[2]))
	copy(e.ID[:], v[3])
	e.Type = d.types.intern(v[4])
	e.Binary = v[6] != nil
	if e.Binary {
		e.Data = d.keep(v[6])
	} else {
		e.Data = d.keep(v[5])
	}
	e.RecordedAt = time.UnixMicro(int64(binary.BigEndian.Uint64(v[8])) + epoch2000)
	return readMetadata(e, v[7])
}

// interned are texts that are there once.
type interned map[string]string

// intern returns the text, always the same string for the same text.
func (in *interned) intern(text []byte) string {
	s, ok := (*in)[string(text)]
	if !ok {
		if *in == nil {
			*in = interned{}
		}
		s = string(text)
		(*in)[s] = s
	}
	return s
}

// arenaBytes is how much memory a kept event can hold on to. The first piece of an arena
// is smaller, for the sake of short streams.
const (
	arenaBytes = 8 << 10
	arenaFirst = 1 << 10
)

// keep copies a payload, whose buffer is used again for the next row.
func (d *decoder) keep(b []byte) []byte {
	if len(b) > arenaBytes/4 {
		return bytes.Clone(b)
	}
	if len(b) > cap(d.arena)-len(d.arena) {
		d.arena = make([]byte, 0, max(min(arenaBytes, 2*cap(d.arena)), arenaFirst, len(b)))
	}
	start := len(d.arena)
	d.arena = append(d.arena, b...)
	return d.arena[start:len(d.arena):len(d.arena)]
}
