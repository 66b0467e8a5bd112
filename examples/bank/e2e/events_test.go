//go:build unix

package e2e_test

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
)

// A page may be made before it listens: the stream begins with where it is, so that
// the page can look for what it missed.
func TestTheStreamOfEventsBeginsWithWhereItIs(t *testing.T) {
	t.Parallel()
	s := serve(t, newSQLite(t))
	s.open(t, "ann", 1_00)
	until(t, "the stream begins behind the deposit", func() (bool, error) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/events", http.NoBody)
		if err != nil {
			return false, err
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return false, err
		}
		defer answer.Body.Close() //nolint:errcheck // only read
		lines := bufio.NewReader(answer.Body)
		var begin strings.Builder
		for range 3 {
			line, err := lines.ReadString('\n')
			if err != nil {
				return false, err
			}
			begin.WriteString(line)
		}
		return begin.String() == "retry: 1000\nevent: here\ndata: 2\n", nil
	})
}
