package proptest

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/internal/window"
)

// playReader is a reader of a subscription, and what is known of what it should get.
type playReader struct {
	readerSpec
	next     es.Checkpoint
	revision int64
	batch    es.Batch
	before   []delivered // what was delivered before the batch

	// got is what was delivered up to next, and stored what is behind the stored checkpoint.
	got, stored []delivered
	// fresh tells that no window is open.
	stale, fresh bool
	parked       map[es.StreamID]bool

	// A poll of which only some statements have run:
	resume func() (struct{}, bool)
	end    func()
	polled poll
}

// delivered is an event that was handed over.
type delivered struct {
	id      uuid.UUID
	stream  es.StreamID
	version int64
}

// poll is a poll and what the log was when it began.
type poll struct {
	batch es.Batch
	err   error
	step  int
	xmin  window.XID
	fresh bool
}

// abandon gives up a poll that is under way.
func (r *playReader) abandon() {
	if r.end != nil {
		r.end()
	}
	r.resume, r.end = nil, nil
}

// read takes a step of a reader.
func (p *play) read(r *playReader, s step) string {
	switch s.op {
	case opPoll:
		return p.poll(r, s.n, true)
	case opStatement:
		return p.poll(r, 10, false)
	case opSave:
		return p.save(r, s.n)
	case opDeliver:
		return p.deliver(r, s.n)
	case opRedrive:
		return p.redrive(r)
	case opRestart:
		return p.restart(r)
	case opReset:
		return p.reset(r)
	default:
		_, _, err := p.on.claim(r.name, "somebody else")
		r.stale = true
		return failure(err)
	}
}

// begin begins a poll, of which no statement runs yet.
func (p *play) begin(r *playReader, limit int) {
	r.polled = poll{step: len(p.script), fresh: r.fresh || r.next == ""}
	if p.sim != nil {
		r.polled.xmin = p.sim.db.snapshot().Xmin
	}
	r.resume, r.end = iter.Pull(func(yield func(struct{}) bool) {
		defer func() {
			if e := recover(); e != nil && e != errEnded { //nolint:errorlint // it is the very value
				panic(e)
			}
		}()
		opts, err := es.FeedOptions{Filter: r.filter, Horizon: r.horizon, MaxEvents: limit}.WithDefaults()
		if err != nil {
			panic(err)
		}
		first := true
		r.polled.batch, r.polled.err = p.on.feed(r, opts, func(string) {
			if !first && !yield(struct{}{}) {
				panic(errEnded) // it is given up
			}
			first = false
		})
	})
}

// poll runs the next statement of a poll, or all that are left. What it delivers is
// taken at once.
func (p *play) poll(r *playReader, limit int, all bool) string {
	if r.resume == nil {
		p.begin(r, limit)
	}
	for {
		if _, more := r.resume(); !more {
			break
		}
		if !all {
			return "there is more of it"
		}
	}
	r.resume, r.end = nil, nil
	return p.accept(r)
}

// accept takes what a poll has answered.
func (p *play) accept(r *playReader) string {
	if err := r.polled.err; errors.Is(err, es.ErrLostCheckpoint) || p.sim != nil && p.sim.db.wrong.crashUnnoticed && errors.Is(err, es.ErrForeignEpoch) {
		p.restart(r) // the second is luck: after a crash ids are given out again soon
		return "lost"
	} else if err != nil {
		p.breaks("reader %s: %v", r.name, err)
		return err.Error()
	}
	b := r.polled.batch
	r.batch, r.before, r.next, r.fresh = b, r.got, b.Next, !b.More
	text := p.hand(r, b.Events)
	if r.polled.fresh && r.fresh {
		p.checkComplete(r)
	}
	return text
}

// hand hands events over, and checks that they may come now.
func (p *play) hand(r *playReader, events []es.Recorded) string {
	text := make([]string, len(events))
	for i, e := range events {
		p.checkNext(r, e)
		r.got = append(slices.Clip(r.got), delivered{e.ID, e.Stream, e.Version})
		text[i] = fmt.Sprintf("%s version %d", e.Stream, e.Version)
	}
	return strings.Join(text, ", ")
}

// has reports whether an event was delivered.
func (r *playReader) has(e *eventRow) bool {
	return slices.ContainsFunc(r.got, func(d delivered) bool { return d.id == e.ID })
}

// checkNext checks that an event may be delivered now.
func (p *play) checkNext(r *playReader, e es.Recorded) {
	if p.sim == nil {
		return
	}
	i := slices.IndexFunc(p.sim.db.events, func(o *eventRow) bool { return o.ID == e.ID && o.by.visibleTo(nil) })
	if i < 0 {
		p.breaks("reader %s gets %s version %d, which is not committed", r.name, e.Stream, e.Version)
		return
	}
	row := p.sim.db.events[i]
	if r.has(row) {
		p.breaks("reader %s gets %s version %d again", r.name, e.Stream, e.Version)
	}
	for _, o := range p.sim.log(r.filter) {
		switch {
		case r.has(o):
			if o.Stream == e.Stream && o.Version > e.Version {
				p.breaks("reader %s gets %s version %d behind version %d", r.name, e.Stream, e.Version, o.Version)
			}
		case o.Stream == e.Stream && o.Version < e.Version:
			p.breaks("reader %s gets %s version %d before version %d", r.name, e.Stream, e.Version, o.Version)
		case r.horizon == es.Committed && p.seen[o.ID] < p.born[e.ID]:
			p.breaks("reader %s gets %s version %d before %s version %d, which was there when it was appended", r.name, e.Stream, e.Version, o.Stream, o.Version)
		}
	}
	if xmin := p.sim.db.snapshot().Xmin; r.horizon == es.Settled && p.key(row) >= xmin {
		p.breaks("reader %s gets %s version %d, of transaction %d and held until %d, and %d is running", r.name, e.Stream, e.Version, row.XID, p.key(row), xmin)
	}
}

// key is the highest transaction among those of an event and of the ones before it in
// its stream.
func (p *play) key(e *eventRow) window.XID {
	key := e.XID
	for _, o := range p.sim.db.ofStream(nil, e.Stream) {
		if o.Version < e.Version {
			key = max(key, o.XID)
		}
	}
	return key
}

// checkComplete checks that everything was delivered that was there when the poll began.
func (p *play) checkComplete(r *playReader) {
	if p.sim == nil {
		return
	}
	for _, e := range p.sim.log(r.filter) {
		there := p.seen[e.ID] > 0 && p.seen[e.ID] < r.polled.step
		if r.horizon == es.Settled {
			there = there && p.key(e) < r.polled.xmin
		}
		if there && !r.has(e) {
			p.breaks("reader %s does not get %s version %d", r.name, e.Stream, e.Version)
		}
	}
}

// save stores the checkpoint behind the first n events of the last batch, 0 for all.
func (p *play) save(r *playReader, n int) string {
	at, got := r.next, r.got
	if n > 0 && len(r.batch.Events) >= n && len(r.before)+len(r.batch.Events) == len(r.got) {
		at, got = r.batch.Prefix(n), r.got[:len(r.before)+n]
	}
	return p.store(r, es.Progress{Checkpoint: at}, got, nil, false)
}

// store stores progress, and in the same transaction what a handler writes. Who was
// overtaken must be refused.
func (p *play) store(r *playReader, progress es.Progress, got []delivered, effects []es.Failure, anew bool) string {
	progress.Subscription, progress.Revision = r.name, r.revision
	err := p.on.store(progress, effects, anew)
	switch {
	case err == nil && r.stale:
		p.breaks("reader %s stores progress although somebody else has its lease", r.name)
	case err == nil:
		r.revision++
		r.stored = got
	case errors.Is(err, es.ErrStaleCheckpoint) && r.stale, errors.Is(err, es.ErrLostCheckpoint):
		p.restart(r)
	default:
		p.breaks("reader %s cannot store its progress: %v", r.name, err)
	}
	return failure(err)
}

// restart takes the subscription over and begins behind the stored checkpoint.
func (p *play) restart(r *playReader) string {
	cp, revision, err := p.on.claim(r.name, "the reader")
	if err != nil {
		p.breaks("reader %s cannot claim: %v", r.name, err)
	}
	r.abandon()
	r.next, r.revision, r.stale, r.got, r.batch = cp, revision, false, r.stored, es.Batch{}
	r.fresh = true
	if c, err := window.Parse(cp); err == nil {
		r.fresh = c.To == nil
	}
	r.parked = map[es.StreamID]bool{}
	for _, f := range p.on.parked(r.name) {
		r.parked[f.Stream] = true
	}
	for _, d := range r.stored {
		if p.sim != nil && !slices.ContainsFunc(p.sim.db.events, func(e *eventRow) bool { return e.ID == d.id && e.by.visibleTo(nil) }) {
			p.breaks("reader %s has stored that it got %s version %d, which a crash has undone", r.name, d.stream, d.version)
		}
	}
	return ""
}

// reset goes back to the beginning. What a handler has written is undone with it.
func (p *play) reset(r *playReader) string {
	var unpark []int64
	for _, f := range p.on.parked(r.name) {
		unpark = append(unpark, f.Position)
	}
	came := p.store(r, es.Progress{Unpark: unpark}, nil, nil, r.transactional)
	if came == "" {
		p.restart(r)
	}
	return came
}

// deliver reads a batch and handles it. An event of a poisoned stream, and whatever
// comes behind it in the stream, is parked.
func (p *play) deliver(r *playReader, limit int) string {
	r.abandon()
	before := r.got
	text := p.poll(r, limit, true)
	if len(r.got) == len(before) || len(r.batch.Events) == 0 {
		return text
	}
	parked := maps.Clone(r.parked)
	progress := es.Progress{Checkpoint: r.next}
	var effects []es.Failure
	for _, e := range r.batch.Events {
		f := es.Failure{Position: e.Position, Stream: e.Stream, Version: e.Version}
		poisoned := p.poison[slices.Index(streams, e.Stream)]
		if poisoned && !parked[e.Stream] {
			f.Attempts = 1 // the others wait for it
		}
		if parked[e.Stream] = parked[e.Stream] || poisoned; parked[e.Stream] {
			progress.Park = append(progress.Park, f)
		} else {
			effects = append(effects, f)
		}
	}
	came := p.store(r, progress, r.got, effects, false)
	if came == "" {
		r.parked = parked
	}
	return text + came
}

// redrive handles the parked events of streams that are poisoned no longer, in order.
func (p *play) redrive(r *playReader) string {
	var text []string
	for _, f := range p.on.parked(r.name) {
		if p.poison[slices.Index(streams, f.Stream)] || !r.parked[f.Stream] {
			continue
		}
		came := p.store(r, es.Progress{Checkpoint: r.next, Unpark: []int64{f.Position}}, r.got, []es.Failure{f.Failure}, false)
		if came != "" {
			return strings.Join(append(text, came), ", ")
		}
		text = append(text, fmt.Sprintf("%s version %d", f.Stream, f.Version))
	}
	r.parked = map[es.StreamID]bool{}
	for _, f := range p.on.parked(r.name) {
		r.parked[f.Stream] = true
	}
	return strings.Join(text, ", ")
}

// checkEffects checks that what the stored checkpoint says is done has taken effect
// once, or is parked, and that the effects of a stream are in order.
func (p *play) checkEffects(r *playReader) {
	if !r.transactional || p.sim == nil {
		return
	}
	versions := map[es.StreamID]int64{}
	n := len(p.on.parked(r.name))
	for _, key := range p.sim.effects.keys(nil) { // by position
		e, _ := p.sim.effects.get(nil, key)
		n++
		if versions[e.Stream]++; e.Version != versions[e.Stream] {
			p.breaks("the effect of %s version %d is number %d of its stream", e.Stream, e.Version, versions[e.Stream])
		}
	}
	if n != len(r.stored) {
		p.breaks("of %d events %d have taken effect or are parked", len(r.stored), n)
	}
}

// drain has a reader read to the end and checks that it has everything then.
func (p *play) drain(r *playReader) {
	if r.stale {
		p.restart(r)
	}
	for idle, broken := 0, len(p.broken); idle < 3 && len(p.broken) == broken; {
		before := len(r.got)
		if r.transactional {
			p.deliver(r, 10)
		} else {
			p.poll(r, 10, true)
		}
		if idle++; len(r.got) != before {
			idle = 0
		}
	}
	p.redrive(r)
	if p.checkEffects(r); p.sim == nil {
		return
	}
	for _, e := range p.sim.log(r.filter) {
		if !r.has(e) {
			p.breaks("reader %s never gets %s version %d", r.name, e.Stream, e.Version)
		}
	}
}
