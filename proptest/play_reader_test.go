package proptest

import (
	"errors"
	"fmt"
	"iter"
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
	limit int
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
		t := p.db.begin(never)
		_, _, err := p.db.claim(t, r.name, "somebody else")
		_ = t.commit()
		r.stale = true
		return failure(err)
	}
}

// never is for transactions that have nothing to wait for.
func never(func() bool) error { panic("a reader waits") }

// begin begins a poll, of which no statement runs yet.
func (p *play) begin(r *playReader, limit int) {
	r.polled = poll{step: len(p.script), limit: limit, xmin: p.db.snapshot().Xmin, fresh: r.fresh || r.next == ""}
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
		r.polled.batch, r.polled.err = p.mutant.feed(p, r.next, opts, func(string) {
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
	return p.take1(r)
}

// take1 takes what a poll has answered.
func (p *play) take1(r *playReader) string {
	if err := r.polled.err; errors.Is(err, es.ErrLostCheckpoint) || p.db.wrong.crashUnnoticed && errors.Is(err, es.ErrForeignEpoch) {
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
	i := slices.IndexFunc(p.db.events, func(o *eventRow) bool { return o.ID == e.ID && o.by.visibleTo(nil) })
	if i < 0 {
		p.breaks("reader %s gets %s version %d, which is not committed", r.name, e.Stream, e.Version)
		return
	}
	row := p.db.events[i]
	if r.has(row) {
		p.breaks("reader %s gets %s version %d again", r.name, e.Stream, e.Version)
	}
	for _, o := range p.log(r.filter) {
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
	if xmin := p.db.snapshot().Xmin; r.horizon == es.Settled && p.key(row) >= xmin {
		p.breaks("reader %s gets %s version %d, of transaction %d and held until %d, and %d is running", r.name, e.Stream, e.Version, row.XID, p.key(row), xmin)
	}
}

// key is the highest transaction among those of an event and of the ones before it in
// its stream.
func (p *play) key(e *eventRow) window.XID {
	key := e.XID
	for _, o := range p.db.ofStream(nil, e.Stream) {
		if o.Version < e.Version {
			key = max(key, o.XID)
		}
	}
	return key
}

// checkComplete checks that everything was delivered that was there when the poll began.
func (p *play) checkComplete(r *playReader) {
	for _, e := range p.log(r.filter) {
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
	return p.store(r, es.Progress{Checkpoint: at}, got, func(*transaction) {})
}

// store stores progress in a transaction with whatever else is to be done. Who was
// overtaken must be refused.
func (p *play) store(r *playReader, progress es.Progress, got []delivered, also func(*transaction)) string {
	progress.Subscription, progress.Revision = r.name, r.revision
	t := p.db.begin(never)
	also(t)
	err := p.db.save(t, progress)
	if err == nil {
		err = t.commit()
	}
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
	t := p.db.begin(never)
	cp, revision, err := p.db.claim(t, r.name, "the reader")
	if err = errors.Join(err, t.commit()); err != nil {
		p.breaks("reader %s cannot claim: %v", r.name, err)
	}
	r.abandon()
	r.next, r.revision, r.stale, r.got, r.batch = cp, revision, false, r.stored, es.Batch{}
	r.fresh = true
	if c, err := window.Parse(cp); err == nil {
		r.fresh = c.To == nil
	}
	r.parked = map[es.StreamID]bool{}
	for _, f := range p.db.parkedOf(nil, []string{r.name}) {
		r.parked[f.Stream] = true
	}
	for _, d := range r.stored {
		if !slices.ContainsFunc(p.db.events, func(e *eventRow) bool { return e.ID == d.id && e.by.visibleTo(nil) }) {
			p.breaks("reader %s has stored that it got %s version %d, which a crash has undone", r.name, d.stream, d.version)
		}
	}
	return ""
}

// reset goes back to the beginning. What a handler has written is undone with it.
func (p *play) reset(r *playReader) string {
	var unpark []int64
	for _, f := range p.db.parkedOf(nil, []string{r.name}) {
		unpark = append(unpark, f.Position)
	}
	came := p.store(r, es.Progress{Unpark: unpark}, nil, func(t *transaction) {
		for _, key := range p.effects.keys(t) {
			if r.transactional {
				p.effects.del(t, key)
			}
		}
	})
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
	progress := es.Progress{Checkpoint: r.next}
	parked := map[es.StreamID]bool{}
	came := p.store(r, progressWith(r, &progress, p.poison, parked), r.got, func(t *transaction) {
		for _, e := range r.batch.Events {
			if !r.parked[e.Stream] && !parked[e.Stream] {
				p.effects.put(t, fmt.Sprintf("%020d", e.Position), effect{e.Stream, e.Version})
			}
		}
	})
	if came == "" {
		for stream := range parked {
			r.parked[stream] = true
		}
	}
	return text + came
}

// progressWith adds what is to be parked of the batch.
func progressWith(r *playReader, progress *es.Progress, poison [3]bool, parked map[es.StreamID]bool) es.Progress {
	for _, e := range r.batch.Events {
		if r.parked[e.Stream] || parked[e.Stream] || poison[slices.Index(streams, e.Stream)] {
			parked[e.Stream] = true
			progress.Park = append(progress.Park, es.Failure{Position: e.Position, Stream: e.Stream, Version: e.Version})
		}
	}
	return *progress
}

// redrive handles the parked events of streams that are poisoned no longer, in order.
func (p *play) redrive(r *playReader) string {
	var text []string
	for _, f := range p.db.parkedOf(nil, []string{r.name}) {
		if p.poison[slices.Index(streams, f.Stream)] || !r.parked[f.Stream] {
			continue
		}
		came := p.store(r, es.Progress{Checkpoint: r.next, Unpark: []int64{f.Position}}, r.got, func(t *transaction) {
			p.effects.put(t, fmt.Sprintf("%020d", f.Position), effect{f.Stream, f.Version})
		})
		if came != "" {
			return strings.Join(append(text, came), ", ")
		}
		text = append(text, fmt.Sprintf("%s version %d", f.Stream, f.Version))
	}
	r.parked = map[es.StreamID]bool{}
	for _, f := range p.db.parkedOf(nil, []string{r.name}) {
		r.parked[f.Stream] = true
	}
	return strings.Join(text, ", ")
}

// checkEffects checks that what the stored checkpoint says is done has taken effect
// once, or is parked, and that the effects of a stream are in order.
func (p *play) checkEffects(r *playReader) {
	if !r.transactional {
		return
	}
	versions, parked := map[es.StreamID]int64{}, map[es.StreamID]bool{}
	for _, f := range p.db.parkedOf(nil, []string{r.name}) {
		parked[f.Stream] = true
	}
	n := len(p.db.parkedOf(nil, []string{r.name}))
	for _, e := range p.effectsInOrder() {
		n++
		if versions[e.stream]++; e.version != versions[e.stream] {
			p.breaks("the effect of %s version %d is number %d of its stream", e.stream, e.version, versions[e.stream])
		}
	}
	if n != len(r.stored) {
		p.breaks("of %d events %d have taken effect or are parked", len(r.stored), n)
	}
}

// effectsInOrder are those of each stream by position.
func (p *play) effectsInOrder() []effect {
	var all []effect
	for _, key := range p.effects.keys(nil) {
		e, _ := p.effects.get(nil, key)
		all = append(all, e)
	}
	return all
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
	p.checkEffects(r)
	for _, e := range p.log(r.filter) {
		if !r.has(e) {
			p.breaks("reader %s never gets %s version %d", r.name, e.Stream, e.Version)
		}
	}
}
