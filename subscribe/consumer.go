package subscribe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/peatlog/peat/es"
)

// OnFailure says what becomes of an event that a handler keeps failing on.
type OnFailure int

const (
	// Stop ends the reader, without a hole: nothing behind the event is handed
	// over. The other segments and consumers go on.
	Stop OnFailure = iota
	// Park sets the event aside, and every later one of its stream, in order; all
	// other streams go on. [Runner.Redrive] brings them back.
	Park
)

// Consumer is a subscription that a [Runner] works on.
type Consumer struct {
	// Name is that of the subscription: its progress is stored under it. It must
	// not contain '@'.
	Name string
	// Delivery says what is done with the events.
	Delivery Delivery
	// Filter selects the events; its segments are set by the runner. Without categories
	// it is that of the handlers: the categories of the aggregates whose events they
	// are made from, and of a codec.Part its events only. Handlers of other events
	// need the Filter's Categories.
	Filter es.Filter
	// SkipUnknown passes by the events whose names no handler knows. It wants handlers
	// that are made from the events of an aggregate's Definition: any other union would
	// skip the older forms of its events as well.
	SkipUnknown bool
	// Horizon is as for a feed.
	Horizon es.Horizon
	// BatchEvents and BatchBytes bound a batch, and with it a transaction; 0 means
	// the feed's defaults.
	BatchEvents, BatchBytes int
	// Segments divides the streams into so many parts, each in order on its own,
	// which can be worked on at once, by several processes. 0 means 1, at most 256.
	// The number is fixed when the subscription is first run; a rebuild changes it.
	Segments int
	// OnFailure says what becomes of an event when its attempts are used up.
	OnFailure OnFailure
	// Attempts is how often an event is handed over; 0 means 5.
	Attempts int
	// RetryDelay is the pause before the second attempt; it doubles from one to the
	// next, up to a minute, with a random part. 0 means 100 ms, at least 1 ms.
	RetryDelay time.Duration
	// HandleTimeout is how long one call of a handler may take before its context
	// ends; 0 means 30 s, at least 1 ms.
	HandleTimeout time.Duration
	// SaveInterval is how often the progress of an at-least-once delivery is stored
	// within a batch; 0 means 1 s, at least 1 ms.
	SaveInterval time.Duration
}

const maxSegments = 256

// withDefaults returns the consumer with its defaults in place, or an error that
// names all its faults.
func (c Consumer) withDefaults() (Consumer, error) {
	feed, err := c.feedOptions(0, 1).WithDefaults()
	faults := append(append(c.faults(), c.filterFaults()...), err, c.Delivery.fault)
	if err := errors.Join(faults...); err != nil {
		return c, fmt.Errorf("consumer %q: %w", c.Name, err)
	}
	c.Segments, c.Attempts = cmp.Or(c.Segments, 1), cmp.Or(c.Attempts, 5)
	c.RetryDelay, c.HandleTimeout = cmp.Or(c.RetryDelay, 100*time.Millisecond), cmp.Or(c.HandleTimeout, 30*time.Second)
	c.SaveInterval = cmp.Or(c.SaveInterval, time.Second)
	c.BatchEvents, c.BatchBytes = feed.MaxEvents, feed.MaxBytes
	if len(c.Filter.Categories) == 0 && c.Filter.Stream == (es.StreamID{}) {
		c.Filter.Categories = c.Delivery.categories
	}
	return c, nil
}

// faults collects what is wrong.
type faults []error

func (f *faults) add(wrong bool, format string, args ...any) {
	if wrong {
		*f = append(*f, fmt.Errorf(format, args...))
	}
}

func (c Consumer) faults() faults {
	var f faults
	f.add(c.Name == "", "the Name is empty")
	f.add(strings.Contains(c.Name, "@"), "the Name contains '@', which is for the names of generations and segments")
	f.add(len(c.Name) > 200, "the Name is longer than 200 bytes")
	f.add(c.Delivery.run == nil, "there is no Delivery; use AtLeastOnce or Transactional")
	f.add(c.Segments < 0 || c.Segments > maxSegments, "Segments is %d, want 1 to %d", c.Segments, maxSegments)
	f.add(c.OnFailure != Stop && c.OnFailure != Park, "unknown OnFailure %d", c.OnFailure)
	f.add(c.Attempts < 0, "Attempts is negative: %d", c.Attempts)
	for name, d := range map[string]time.Duration{"RetryDelay": c.RetryDelay, "HandleTimeout": c.HandleTimeout, "SaveInterval": c.SaveInterval} {
		f.add(d < 0 || d > 0 && d < time.Millisecond, "%s is %v, below 1 ms", name, d)
	}
	return f
}

func (c Consumer) filterFaults() faults {
	var f faults
	knowsAll := c.Delivery.names == nil
	everything := len(c.Filter.Categories) == 0 && len(c.Filter.Types) == 0 && c.Filter.Stream == (es.StreamID{})
	for _, category := range c.Filter.Categories {
		f.add(c.Delivery.categories != nil && !slices.Contains(c.Delivery.categories, category),
			"Filter.Categories names %q, of which no handler knows any event; the handlers know %q", category, c.Delivery.categories)
	}
	f.add(c.Filter.Segments != 0 || c.Filter.Segment != 0, "Filter.Segments is set by the runner; use Segments")
	f.add(c.SkipUnknown && knowsAll, "SkipUnknown is set, but one of the handlers takes all events")
	f.add(c.SkipUnknown && !knowsAll && c.Delivery.any,
		"SkipUnknown would pass by the older forms of events that the handlers know; make the handlers from the Events of an aggregate's Definition or from a codec.Part of them, or name the events in Filter.Types")
	f.add(c.selects() && !knowsAll && len(c.selection()) == 0, "Filter.Types names no event that the handlers know")
	f.add(!knowsAll && everything && c.Delivery.categories == nil,
		"the Filter selects all categories, but the handlers know some events only; name the Categories, or make the handlers from the Events of an aggregate's Definition")
	return f
}

// feedOptions are those of one of so many segments.
func (c Consumer) feedOptions(segment, segments int) es.FeedOptions {
	f := c.Filter
	if c.selects() {
		f.Types = c.selection()
	}
	if segments > 1 {
		f.Segment, f.Segments = segment, segments
	}
	return es.FeedOptions{Filter: f, Horizon: c.Horizon, MaxEvents: c.BatchEvents, MaxBytes: c.BatchBytes}
}

// selects reports whether events that no handler knows are passed by.
func (c Consumer) selects() bool { return c.SkipUnknown || c.Delivery.partial }

// selection returns the names that the handlers know, of those that the filter names.
func (c Consumer) selection() []string {
	if len(c.Filter.Types) == 0 {
		return c.Delivery.names
	}
	known := make([]string, 0, len(c.Filter.Types))
	for _, name := range c.Filter.Types {
		if slices.Contains(c.Delivery.names, name) {
			known = append(known, name)
		}
	}
	return known
}

// part is one segment of one generation of a consumer: what one reader works on.
type part struct {
	generation        int
	segment, segments int
}

// subscription is the name that the progress of a part is stored under, and of its
// lease: that of the consumer for the first generation, undivided.
func (c Consumer) subscription(p part) string {
	name := c.Name
	if p.generation > 1 || p.segments > 1 {
		name += "@" + strconv.Itoa(p.generation)
	}
	if p.segments > 1 {
		name += "." + strconv.Itoa(p.segment) + "of" + strconv.Itoa(p.segments)
	}
	return name
}

// parts are all of a generation.
func parts(generation, segments int) []part {
	all := make([]part, segments)
	for i := range all {
		all[i] = part{generation, i, segments}
	}
	return all
}

// subscriptions are those of a generation, in the order of the segments.
func (c Consumer) subscriptions(generation, segments int) []string {
	names := make([]string, 0, segments)
	for _, p := range parts(generation, segments) {
		names = append(names, c.subscription(p))
	}
	return names
}

type generationKey struct{}

// Generation returns the generation of the projection that a handler is called for,
// 1 unless it was ever rebuilt, and 0 outside of handlers.
func Generation(ctx context.Context) int {
	n, _ := ctx.Value(generationKey{}).(int)
	return n
}
