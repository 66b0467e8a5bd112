package subscribe

import (
	"context"
	"iter"

	"github.com/peatlog/peat/es"
)

// All yields the events of the log that opts selects, decoded and in order, up to its
// end: for scripts and exports. The end is that of the log when the loop begins, so that
// the loop ends although writers never stop: it yields all that is to be delivered then,
// and perhaps some of what is appended meanwhile. It stores nothing. At most one error is
// yielded, as the last item: of the feed, or es.ErrDecode.
func All[E es.Event](ctx context.Context, feed es.Feed, events es.Decoder[E], opts Options) iter.Seq2[es.Envelope[E], error] {
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
