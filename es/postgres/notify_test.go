package postgres

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// After every ring a send begins: at once if there was none lately, else when the next
// one is due, also when the ring came in the middle of a send.
func TestNotifierSendsAfterEveryRing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n notifier
		began := time.Now()
		var sends []time.Duration
		var send func()
		send = func() {
			sends = append(sends, time.Since(began))
			if len(sends) == 2 {
				time.Sleep(time.Millisecond)
				n.ring(send)
			}
		}
		for range 100 {
			n.ring(send)
		}
		time.Sleep(5 * time.Millisecond)
		n.ring(send)
		time.Sleep(time.Second)
		n.ring(send)
		synctest.Wait() // and no goroutine is left when the bubble ends
		want := []time.Duration{0, notifyEvery, 2 * notifyEvery, time.Second + 5*time.Millisecond}
		if diff := cmp.Diff(want, sends); diff != "" {
			t.Errorf("sends (-want +got):\n%s", diff)
		}
	})
}

func TestChannelsAreNotCut(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("s", maxIdentifierBytes-1)
	names := []string{channel("peat"), channel("Peat"), channel(long + "a"), channel(long + "b")}
	for _, name := range names {
		if len(name) > maxIdentifierBytes {
			t.Errorf("%q is cut", name)
		}
	}
	if slices.Sort(names); len(slices.Compact(names)) != 4 {
		t.Errorf("schemas share a channel: %q", names)
	}
}
