// Package traced tells the tracers of package es what a store does, so that every
// store tells them alike.
package traced

import (
	"context"
	"iter"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/page"
)

// Append is to be called before es.Prepare, and done after the append.
func Append(ctx context.Context, t es.AppendTracer, stream es.StreamID, events int) (_ context.Context, done func(es.AppendResult, error)) {
	if t == nil {
		return ctx, func(es.AppendResult, error) {}
	}
	return t.TraceAppend(ctx, stream, events)
}

// Load is page.Stream, traced each time that it is iterated over.
func Load(ctx context.Context, t es.LoadTracer, stream es.StreamID, opts es.ReadOptions, fetch page.Fetch) iter.Seq2[es.Recorded, error] {
	if t == nil {
		return page.Stream(ctx, stream, opts, fetch)
	}
	return func(yield func(es.Recorded, error) bool) {
		ctx, done := t.TraceLoad(ctx, stream)
		events, failed := 0, error(nil)
		defer func() { done(events, failed) }() // also when the loop's body panics
		for e, err := range page.Stream(ctx, stream, opts, fetch) {
			if failed = err; err == nil {
				events++
			}
			if !yield(e, err) {
				return
			}
		}
	}
}
