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
		text, err := plain(file)
		if err != nil {
			yield(Row{}, &LineError{File: name, Line: 1, Err: err})
			return
		}
		lines := csv.NewReader(text)
		lines.Comma = ';'
		lines.FieldsPerRecord = -1 // counted below, with a better message
		lines.ReuseRecord = true
		for line := 0; ; {
			fields, err := lines.Read()
			if err == io.EOF && line > 0 {
				return
			}
			row := Row{File: name, Line: lineOf(lines, line, err)}
			if err == nil {
				line = row.Line
				row.Account, row.Posting, err = parseLine(line, fields)
			}
			if err != nil {
				yield(Row{}, &LineError{File: name, Line: row.Line, Err: reason(err)})
				return
			}
			if row.Posting != nil && !yield(row, nil) {
				return
			}
		}
	}
}

// plain unzips what is gzipped, by its first bytes rather than its name.
func plain(file io.Reader) (io.Reader, error) {
	buffered := bufio.NewReaderSize(file, 1<<16)
	magic, err := buffered.Peek(2)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if !bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return buffered, nil
	}
	return gzip.NewReader(buffered)
}

// lineOf returns the number of the line just read. Where reading failed, only a
// syntax error knows it; any other one happened behind the last good line.
func lineOf(lines *csv.Reader, last int, err error) int {
	if syntax, ok := errors.AsType[*csv.ParseError](err); ok {
		return syntax.StartLine
	}
	if err != nil {
		return last + 1
	}
	line, _ := lines.FieldPos(0)
	return line
}

// reason puts errors that speak to programmers into words for the user.
func reason(err error) error {
	syntax, ok := errors.AsType[*csv.ParseError](err)
	switch {
	case ok:
		return syntax.Err // it repeats the line otherwise
	case err == io.EOF:
		return errors.New("the file is empty")
	case err == io.ErrUnexpectedEOF:
		return errors.New("the file ends in the middle; is it complete?")
	default:
		return err
	}
}

// parseLine reads one line; the posting of the first one, the header, is nil.
func parseLine(line int, fields []string) (string, account.Posting, error) {
	if line == 1 {
		if !slices.Equal(fields, header) {
			return "", nil, fmt.Errorf("not a statement: the first line must name the columns %q", header)
		}
		return "", nil, nil
	}
	if len(fields) != len(header) {
		return "", nil, fmt.Errorf("%d fields, want %d", len(fields), len(header))
	}
	return parseRow([10]string(fields))
}
