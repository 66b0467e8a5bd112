package subscribe

import (
	"context"
	"errors"
	"iter"

	"github.com/peatlog/peat/codec"
	"github.com/peatlog/peat/es"
)

// All yields the events of the log that opts selects, decoded and in order, up to its
// end: for scripts and exports. The end is that of the log when the loop begins, so that
// the loop ends although writers never stop: it yields all that is to be delivered then,
// and perhaps some of what is appended meanwhile. It stores nothing. At most one error is
// yielded, as the last item: of the feed, or es.ErrDecode.
//
// Where opts selects no category, the Events of an aggregate's Definition select theirs,
// and a codec.Part its events only.
func All[E es.Event](ctx context.Context, feed es.Feed, events es.Decoder[E], opts Options) iter.Seq2[es.Envelope[E], error] {
	opts = selecting(events, opts)
	return func(yield func(es.Envelope[E], error) bool) {
		var at es.Checkpoint
		for {
			b, err := feed.Feed(ctx, at, opts.feed())
			if err != nil {
				yield(es.Envelope[E]{}, err)
				return
			}
			for _, r := range b.Events {
				e, err := es.Decode(events, r)
				if errors.Is(err, codec.ErrNotInPart) {
					continue
				}
				if !yield(e, err) || err != nil {
					return
				}
			}
			if at = b.Next; !b.More {
				return
			}
		}
	}
}

// selecting returns the options with what the events select by themselves.
func selecting[E es.Event](events es.Decoder[E], opts Options) Options {
	u, ok := events.(Events[E])
	if !ok || len(opts.Filter.Categories) > 0 || opts.Filter.Stream != (es.StreamID{}) {
		return opts
	}
	h := of[None](u, nil)
	if h.category != "" {
		opts.Filter.Categories = []string{h.category}
	}
	if h.partial && len(opts.Filter.Types) == 0 {
		opts.Filter.Types = h.names
	}
	return opts
}
