// Package page turns reads of single pages into the iterators of package es.
//
// A page is read whole before the first of its events is yielded, so no
// connection is held while the caller's loop runs; what a page may hold is
// bounded in rows and in bytes, so neither is memory.
package page

import (
	"context"
	"iter"
	"math"

	"github.com/peatlog/peat/es"
)

const (
	// firstRows is the size of the first page: enough for most aggregates at once.
	firstRows = 256
	minRows   = 16
	maxRows   = 4096
	// TargetBytes is where a fetch stops reading, behind the event that reaches it.
	TargetBytes = 4 << 20
)

// Page is one fetched page.
type Page struct {
	Events []es.Recorded
	// More is false when the source has nothing behind the page.
	More bool
	// Head is the stream's recorded last version, from the same snapshot as
	// Events. Only a stream's pages have it.
	Head int64
}

// Fetch reads up to rows events beginning with from: a version of the stream,
// or a position of the log. It may stop early once it has TargetBytes.
type Fetch func(ctx context.Context, from int64, rows int) (Page, error)

// sizer adapts the number of rows to what the last page showed of their size.
type sizer int

func (s *sizer) rows(limit int) int {
	if *s == 0 {
		*s = firstRows
	}
	if limit > 0 {
		return min(limit, int(*s))
	}
	return int(*s)
}

func (s *sizer) seen(events []es.Recorded) {
	size := 0
	for i := range events {
		size += len(events[i].Data)
	}
	if len(events) > 0 {
		*s = sizer(min(max(TargetBytes/(size/len(events)+1), minRows), maxRows, 4*int(*s)))
	}
}

// Stream iterates over one stream and checks that no version is missing up to
// the head that its first page reports.
func Stream(ctx context.Context, id es.StreamID, opts es.ReadOptions, fetch Fetch) iter.Seq2[es.Recorded, error] {
	return func(yield func(es.Recorded, error) bool) {
		if err := id.Validate(); err != nil {
			yield(es.Recorded{}, err)
			return
		}
		c := cursor{stream: id, next: max(opts.From, 1), step: 1}
		if opts.Backward {
			c.step = -1
			if c.next = opts.From; c.next <= 0 {
				c.next = math.MaxInt64
			}
		}
		var size sizer
		for left, first := opts.Limit, true; ; first = false {
			p, err := fetch(ctx, c.next, size.rows(left))
			if err != nil {
				yield(es.Recorded{}, err)
				return
			}
			if first {
				c.begin(p.Head)
			}
			for i := range p.Events {
				if c.done() {
					return
				}
				if err := c.take(p.Events[i].Version); err != nil {
					yield(es.Recorded{}, err)
					return
				}
				if !yield(p.Events[i], nil) {
					return
				}
				if left--; left == 0 {
					return
				}
			}
			if c.done() {
				return
			}
			if len(p.Events) == 0 {
				yield(es.Recorded{}, c.missing(0))
				return
			}
			size.seen(p.Events)
		}
	}
}

// cursor is the place in a stream that a read has come to.
type cursor struct {
	stream       es.StreamID
	next, step   int64
	head, finish int64
}

// begin fixes the version to stop at, so that a busy writer cannot keep a read
// going for ever.
func (c *cursor) begin(head int64) {
	c.head, c.finish = head, head
	if c.step < 0 {
		c.next, c.finish = min(c.next, head), 1
	}
}

func (c *cursor) done() bool {
	return (c.finish-c.next)*c.step < 0 || c.head == 0
}

func (c *cursor) take(version int64) error {
	if version != c.next {
		return c.missing(version)
	}
	c.next += c.step
	return nil
}

func (c *cursor) missing(found int64) error {
	return &es.CorruptStreamError{Stream: c.stream, Missing: c.next, Next: found, Head: c.head}
}

// Log iterates over the log in the order of positions.
func Log(ctx context.Context, opts es.ReadAllOptions, fetch Fetch) iter.Seq2[es.Recorded, error] {
	return func(yield func(es.Recorded, error) bool) {
		if opts.Category != "" {
			if err := es.ValidateCategory(opts.Category); err != nil {
				yield(es.Recorded{}, err)
				return
			}
		}
		next, step := max(opts.From, 1), int64(1)
		if opts.Backward {
			step = -1
			if next = opts.From; next <= 0 {
				next = math.MaxInt64
			}
		}
		var size sizer
		for left := opts.Limit; ; {
			p, err := fetch(ctx, next, size.rows(left))
			if err != nil {
				yield(es.Recorded{}, err)
				return
			}
			for i := range p.Events {
				if !yield(p.Events[i], nil) {
					return
				}
				if left--; left == 0 {
					return
				}
				next = p.Events[i].Position + step
			}
			if !p.More || next <= 0 {
				return
			}
			size.seen(p.Events)
		}
	}
}
