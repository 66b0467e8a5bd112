package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/peatlog/peat/examples/bank/live"
)

// eventsPath is where the stream of events is.
const eventsPath = "/events"

const (
	// heartbeat is how often something is sent, so that everybody on the way sees that
	// the connection is in use.
	heartbeat = 15 * time.Second
	// writeTime is how long a listener may take to receive it.
	writeTime = 10 * time.Second
)

func (s *server) live(w http.ResponseWriter, r *http.Request) {
	f := s.newFrame(r, "Live", "live")
	f.Events = eventsPath
	s.render(w, r, http.StatusOK, "live", f)
}

// eventData is what a browser gets of an event.
type eventData struct {
	Position int64  `json:"position"`
	Account  string `json:"account"`
	Version  int64  `json:"version"`
	Type     string `json:"type"`
	What     string `json:"what"`
	Change   string `json:"change"`
	Time     string `json:"time"`
}

// events streams what happens (server-sent events), on one account if one is named,
// until the browser leaves or the server ends. It begins with where the stream is, as
// the page may have been made before. A browser that is too slow is let go,
// comes again by itself, and then looks at the whole page.
func (s *server) events(w http.ResponseWriter, r *http.Request) {
	events, last, stop, err := s.bank.Feed.Listen()
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer stop()
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	send := func(text string) bool {
		if err := out.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
			return false
		}
		_, err := w.Write([]byte(text))
		return err == nil && out.Flush() == nil
	}
	if out.SetReadDeadline(time.Time{}) != nil || !send(fmt.Sprintf("retry: 1000\nevent: here\ndata: %d\n\n", last)) {
		return
	}
	only := r.URL.Query().Get("account")
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		var text string
		select {
		case <-r.Context().Done():
			return
		case <-beat.C:
			text = ": still here\n\n"
		case e, ok := <-events:
			if !ok {
				return
			}
			if only != "" && e.Account != only {
				continue
			}
			text = message(e)
		}
		if !send(text) {
			return
		}
	}
}

func message(e live.Event) string {
	d := eventData{
		Position: e.Position, Account: e.Account, Version: e.Version, Type: e.Type, What: e.What,
		Time: e.RecordedAt.Format("15:04:05"),
	}
	if e.Moves {
		d.Change = signed(e.Change)
	}
	data, err := json.Marshal(d)
	if err != nil {
		return "" // strings and numbers only, so it cannot fail
	}
	return fmt.Sprintf("id: %s\ndata: %s\n\n", strconv.FormatInt(e.Position, 10), data)
}
