package subscribe_test

import (
	"context"
	"os/exec"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/peatlog/peat/codec"
	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/subscribe"
)

// The type of the transaction is in the type of the handler.
func TestHandlerForAnotherStoreDoesNotCompile(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "vet", "./testdata/wrongpairing").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "type subscribe.Handler[*sql.Tx] of handler does not match") {
		t.Errorf("%v: %s", err, out)
	}
}

type sent struct{ To string }

func (sent) EventType() string { return "letter.sent" }

// One consumer is fed by two unions over two categories, in the order of the log. A
// handler of batches gets a batch as far as its own events go.
func TestSeveralUnionsFeedOneConsumer(t *testing.T) {
	t.Parallel()
	letters := codec.NewUnion(codec.Case(func(e sent) es.Event { return e }))
	inBothStores(t, func(t *testing.T, store subscribe.RunnerStore, log es.Store) {
		post := func(to string) {
			t.Helper()
			e := es.EventData{Type: "letter.sent", Data: []byte(`{"To": "` + to + `"}`)}
			if _, err := log.Append(t.Context(), es.StreamID{Category: "letter", Key: "1"}, es.Any, e); err != nil {
				t.Fatal(err)
			}
		}
		write(t, log, "a", 1, 2)
		post("ann")
		write(t, log, "b", 3)
		write(t, log, "a", 4)
		post("bob")
		var got record
		c := consumer("both", subscribe.AtLeastOnce(
			subscribe.Batch(notes, func(_ context.Context, batch []es.Envelope[note]) error {
				for _, e := range batch {
					got.add(e)
				}
				got.say("end of notes")
				return nil
			}),
			subscribe.Each(letters, subscribe.Func[es.Event](func(_ context.Context, e es.Envelope[es.Event]) error {
				got.say("to " + e.Event.(sent).To)
				return nil
			}))))
		c.Filter.Categories = append(c.Filter.Categories, "letter")
		start(t, newRunner(t, store, c))
		want := []string{"a/1", "a/2", "end of notes", "to ann", "b/3", "a/4", "end of notes", "to bob"}
		eventually(t, "delivered", func() bool { return len(got.all()) >= len(want) })
		if diff := gocmp.Diff(want, got.all()); diff != "" {
			t.Errorf("delivered (-want +got):\n%s", diff)
		}
	})
}
