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
	row    row
	stream string
	dest   []any
	plain  bool // the formats are the known ones
	types  map[string]string
	arena  []byte // where payloads go
}

// formats are those of the columns: 0 is text, 1 is binary.
var formats = [...]int16{0, 1, 1, 1, 0, 0, 1, 0, 1}

// newDecoder returns the decoder of a result.
func newDecoder(fields []pgconn.FieldDescription) *decoder {
	d := &decoder{types: map[string]string{}, plain: len(fields) == len(formats)}
	for i := range fields {
		d.plain = d.plain && fields[i].Format == formats[i]
	}
	d.dest = d.row.dest(&d.stream)
	return d
}

// event puts the event of the current row into e, which is the zero value.
func (d *decoder) event(rows pgx.Rows, e *es.Recorded) error {
	if v := rows.RawValues(); d.plain && known(v) {
		return d.read(v, e)
	}
	d.row = row{}
	if err := rows.Scan(d.dest...); err != nil {
		return err
	}
	var err error
	if d.row.Stream, err = es.ParseStreamID(d.stream); err != nil {
		return err
	}
	*e, err = d.row.recorded()
	return err
}

// known tells whether the values are as the table's constraints have them.
func known(v [][]byte) bool {
	return len(v[1]) == 8 && len(v[2]) == 8 && len(v[3]) == 16 && len(v[8]) == 8 && v[0] != nil && v[4] != nil
}

// epoch2000 is the beginning of PostgreSQL's time in microseconds.
const epoch2000 = 946_684_800_000_000

func (d *decoder) read(v [][]byte, e *es.Recorded) (err error) {
	if e.Stream, err = es.ParseStreamID(string(v[0])); err != nil {
		return err
	}
	e.Version = int64(binary.BigEndian.Uint64(v[1]))
	e.Position = int64(binary.BigEndian.Uint64(v[2]))
	copy(e.ID[:], v[3])
	e.Type = d.intern(v[4])
	e.Binary = v[6] != nil
	if e.Binary {
		e.Data = d.keep(v[6])
	} else {
		e.Data = d.keep(v[5])
	}
	e.RecordedAt = time.UnixMicro(int64(binary.BigEndian.Uint64(v[8])) + epoch2000)
	return readMetadata(e, v[7])
}

// intern returns the text, always the same string for the same text.
func (d *decoder) intern(text []byte) string {
	s, ok := d.types[string(text)]
	if !ok {
		s = string(text)
		d.types[s] = s
	}
	return s
}

// arenaBytes is how much memory a kept event can hold on to.
const arenaBytes = 8 << 10

// keep copies a payload, whose buffer is used again for the next row.
func (d *decoder) keep(b []byte) []byte {
	if len(b) > arenaBytes/4 {
		return bytes.Clone(b)
	}
	if len(b) > cap(d.arena)-len(d.arena) {
		d.arena = make([]byte, 0, arenaBytes)
	}
	start := len(d.arena)
	d.arena = append(d.arena, b...)
	return d.arena[start:len(d.arena):len(d.arena)]
}
