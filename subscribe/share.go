package subscribe

import (
	"context"
	"maps"
	"slices"
	"time"
)

// patience is for how many rechecks a part may stay without a reader before a process
// takes it that has its fair share already: the others may not be able to.
const patience = 3

// share is how a consumer's parts are divided among the processes.
type share struct {
	parts   int
	members []int // the sessions
	// hungry is how many rechecks in a row there was something to take beyond the
	// fair share.
	hungry int
}

// fair is how many parts a process should have at most.
func (s share) fair() int {
	others := max(len(s.members)-1, 0)
	return (s.parts + others) / (others + 1)
}

// divide finds out with how many others the parts are shared, and ends readers that
// somebody new should have.
func (w *works) divide(ctx context.Context) error {
	divided := map[string]int{}
	for _, want := range w.wanted {
		divided[want.consumer.Name]++
	}
	maps.DeleteFunc(divided, func(_ string, parts int) bool { return parts < 2 })
	maps.DeleteFunc(w.shares, func(name string, _ share) bool { return divided[name] == 0 })
	if len(divided) == 0 {
		return nil
	}
	groups := slices.Sorted(maps.Keys(divided))
	asking, cancel := w.asking(ctx)
	defer cancel()
	members, err := w.session.Members(asking, groups)
	if err != nil {
		return err
	}
	for i, name := range groups {
		before := w.shares[name]
		w.shares[name] = share{parts: divided[name], members: members[i]}
		isNew := func(session int) bool { return !slices.Contains(before.members, session) }
		if before.members != nil && slices.ContainsFunc(members[i], isNew) {
			w.makeRoom(name)
		}
	}
	return nil
}

// makeRoom ends the readers of a consumer beyond the fair share.
func (w *works) makeRoom(consumer string) {
	mine := w.readersOf(consumer)
	for _, name := range mine[min(w.shares[consumer].fair(), len(mine)):] {
		w.running[name].end()
	}
}

// readersOf returns the subscriptions of a consumer that this process works on.
func (w *works) readersOf(consumer string) []string {
	var mine []string
	for name, r := range w.running {
		if r.consumer.Name == consumer {
			mine = append(mine, name)
		}
	}
	slices.Sort(mine)
	return mine
}

// missing returns what nobody here works on, by consumer.
func (w *works) missing() map[string][]string {
	all := map[string][]string{}
	now := time.Now()
	maps.DeleteFunc(w.paused, func(_ string, until time.Time) bool { return now.After(until) })
	for _, name := range slices.Sorted(maps.Keys(w.wanted)) {
		if _, paused := w.paused[name]; !paused && w.running[name] == nil && w.stopped[name] == nil {
			consumer := w.wanted[name].consumer.Name
			all[consumer] = append(all[consumer], name)
		}
	}
	return all
}

// demand is what to ask for at once: the first of these that are free, at most so many.
type demand struct {
	names []string
	most  int
}

// demands returns what to ask for: all that is undivided together, and of each consumer
// that is divided what is fair.
func (w *works) demands() []demand {
	var undivided []string
	var all []demand
	for consumer, names := range w.missing() {
		if _, divided := w.shares[consumer]; !divided {
			undivided = append(undivided, names...)
		} else if most := w.room(consumer); most > 0 {
			all = append(all, demand{names, most})
		}
	}
	if len(undivided) > 0 {
		all = append(all, demand{undivided, len(undivided)})
	}
	return all
}

// room returns how many more parts of a consumer this process may take.
func (w *works) room(consumer string) int {
	s := w.shares[consumer]
	if s.hungry++; s.hungry > patience {
		return maxSegments
	}
	w.shares[consumer] = s
	return max(s.fair()-len(w.readersOf(consumer)), 0)
}
