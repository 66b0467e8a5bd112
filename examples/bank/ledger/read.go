package ledger

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/peatlog/peat/examples/bank/account"
)

// Row is one line of a statement file.
type Row struct {
	// File and Line say where it stands, for errors.
	File string
	Line int
	// Account is the number of the account that it belongs to.
	Account string
	Posting account.Posting
}

// LineError says at which line of a file what went wrong.
type LineError struct {
	File string
	Line int
	Err  error
}

// Error implements error.
func (e *LineError) Error() string { return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err) }

// Unwrap returns the cause.
func (e *LineError) Unwrap() error { return e.Err }

// header is the first line of every statement file.
var header = []string{
	"trans_id", "account_id", "date", "type", "operation",
	"amount", "balance", "k_symbol", "bank", "account",
}

// Read yields the rows of a statement file, plain or gzipped, in the order of the
// file. The first line that it cannot make sense of ends it with a [*LineError].
// The name is for errors only.
func Read(name string, file io.Reader) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		r, err := newReader(name, file)
		for err == nil {
			var row Row
			if row, err = r.row(); err == nil && !yield(row, nil) {
				return
			}
		}
		if !errors.Is(err, io.EOF) {
			yield(Row{}, &LineError{File: name, Line: max(r.line, 1), Err: err})
		}
	}
}

// reader reads a statement line by line.
type reader struct {
	file  string
	lines *csv.Reader
	line  int // the number of the line read last
}

// newReader returns a reader that is past the header.
func newReader(name string, file io.Reader) (*reader, error) {
	r := &reader{file: name}
	text, err := plain(file)
	if err != nil {
		return r, inWords(err)
	}
	r.lines = csv.NewReader(text)
	r.lines.Comma = ';'
	r.lines.ReuseRecord = true
	r.lines.FieldsPerRecord = -1 // row says better what is wrong
	switch first, err := r.fields(); {
	case errors.Is(err, io.EOF):
		return r, errors.New("the file is empty")
	case err != nil:
		return r, err
	case !slices.Equal(first, header):
		return r, fmt.Errorf("not a statement: the first line must be %s", strings.Join(header, ";"))
	}
	return r, nil
}

// row reads the next row, io.EOF behind the last one.
func (r *reader) row() (Row, error) {
	fields, err := r.fields()
	if err != nil {
		return Row{}, err
	}
	if len(fields) != len(header) {
		return Row{}, fmt.Errorf("%d fields, want %d", len(fields), len(header))
	}
	number, posting, err := parseRow([10]string(fields))
	return Row{File: r.file, Line: r.line, Account: number, Posting: posting}, err
}

// fields reads the next line that is not blank.
func (r *reader) fields() ([]string, error) {
	fields, err := r.lines.Read()
	if syntax, ok := errors.AsType[*csv.ParseError](err); ok {
		r.line = syntax.StartLine
		return nil, syntax.Err // without the line, which it would repeat
	}
	if errors.Is(err, io.EOF) {
		return nil, err
	}
	if err != nil {
		r.line++ // it happened behind the last line that could be read
		return nil, inWords(err)
	}
	r.line, _ = r.lines.FieldPos(0)
	return fields, nil
}

// inWords puts the one error into words that says nothing to a user.
func inWords(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the file ends in the middle; is it complete?")
	}
	return err
}

// plain unzips what is gzipped, by its first bytes rather than its name.
func plain(file io.Reader) (io.Reader, error) {
	buffered := bufio.NewReader(file)
	magic, err := buffered.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if !bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return buffered, nil
	}
	return gzip.NewReader(buffered)
}
