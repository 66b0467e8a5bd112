package proptest

import (
	"context"
	"errors"
	"io"

	"github.com/peatlog/peat/es"
)

// unsure is a log of which an append can be overtaken, and its answer lost.
type unsure struct {
	*Log
	// overtake, if not nil, runs once, before the next append.
	overtake func()
	// lose is how many answers of appends are lost; written says whether what they
	// append lands.
	lose    int
	written bool
}

// Append implements [es.Appender].
func (u *unsure) Append(ctx context.Context, stream es.StreamID, expected es.Expected, events ...es.EventData) (es.AppendResult, error) {
	if f := u.overtake; f != nil {
		u.overtake = nil
		f()
	}
	if u.lose == 0 {
		return u.Log.Append(ctx, stream, expected, events...)
	}
	u.lose--
	var err error
	if u.written {
		_, err = u.Log.Append(ctx, stream, expected, events...)
	}
	return es.AppendResult{}, &es.OutcomeUnknownError{Err: errors.Join(io.ErrUnexpectedEOF, err)}
}
