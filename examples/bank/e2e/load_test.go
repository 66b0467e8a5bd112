//go:build unix

package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/money"
	"github.com/peatlog/peat/examples/bank/service"
)

const (
	clients  = 64
	accounts = 100
	each     = 1000_00 // on each account at the beginning
	lasts    = 10 * time.Second
)

// 64 clients transfer at random among 100 accounts; on PostgreSQL between two servers,
// of which one is killed in the middle. At every observed moment all money is there;
// afterwards so is every transfer that was acknowledged, once.
func TestTransfersUnderLoad(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { underLoad(t, newSQLite(t), 1) })
	t.Run("postgres", func(t *testing.T) { underLoad(t, newDatabase(t), 2) })
}

func underLoad(t *testing.T, address string, servers int) {
	bank, err := service.Open(t.Context(), address, service.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bank.Close)
	observer := &server{Bank: bank}
	for i := range accounts {
		observer.open(t, strconv.Itoa(i), each)
	}
	var processes []*process
	r := &rush{t: t, acknowledged: map[string]bool{}}
	for range servers {
		p := startProcess(t, address)
		processes = append(processes, p)
		r.servers = append(r.servers, p.url)
	}
	until(t, "all servers have a share of the work", func() (bool, error) {
		status, err := bank.Status(t.Context())
		holders := map[string]bool{}
		for _, c := range status {
			for _, h := range c.Holders {
				holders[h] = true
			}
		}
		return len(holders) == servers || servers == 1, err // of one on SQLite, only its own process knows
	})
	ctx, stop := context.WithTimeout(t.Context(), lasts)
	defer stop()
	var all sync.WaitGroup
	for range clients {
		all.Go(func() { r.transfer(ctx) })
	}
	all.Go(func() { r.observe(ctx, observer) })
	if servers > 1 {
		<-time.After(lasts / 2)
		processes[0].kill()
	}
	all.Wait()
	observer.settle(t) // by the server that is left
	present := checkStreams(t, bank)
	missing := 0
	for key := range r.acknowledged {
		if present[key] != 2 {
			missing++
			t.Errorf("the transfer %s was acknowledged, and %d of its halves are there", key, present[key])
		}
	}
	books, err := bank.Views.Books(t.Context())
	if err != nil || !books.Conserved() || books.Customers != accounts*each {
		t.Errorf("the books: %+v, %v", books, err)
	}
	if len(r.acknowledged) < clients || r.observed.Load() < 3 {
		t.Errorf("only %d transfers and %d looks: too few to tell", len(r.acknowledged), r.observed.Load())
	}
	if !t.Failed() {
		_, store, _ := strings.Cut(t.Name(), "/")
		fmt.Printf("verdict on %s: %d clients, %d accounts, %d server(s), %d killed: %d transfers acknowledged, %d missing, %d refused, %d unanswered and repeated; "+
			"%v at each of %d looks; no stream out of order\n", store, clients, accounts, servers, servers-1, len(r.acknowledged), missing,
			r.refused.Load(), r.repeated.Load(), books.Customers, r.observed.Load())
	}
}

// rush is what the clients share.
type rush struct {
	t       *testing.T
	servers []string

	mu           sync.Mutex
	acknowledged map[string]bool // by key

	refused, repeated, observed atomic.Int64
}

// transfer is a client: it repeats a transfer that it got no answer for, with the same
// key, at another server.
func (r *rush) transfer(ctx context.Context) {
	for ctx.Err() == nil {
		from := rand.IntN(accounts)
		to := (from + 1 + rand.IntN(accounts-1)) % accounts
		body, err := json.Marshal(map[string]string{
			"from": strconv.Itoa(from), "to": strconv.Itoa(to), "amount": (1 + rand.N(money.Amount(200_00))).String(),
		})
		if err != nil {
			r.t.Error(err)
			return
		}
		key := strconv.FormatUint(rand.Uint64(), 36)
		for at := rand.IntN(len(r.servers)); ctx.Err() == nil; at++ {
			status, err := post(ctx, r.servers[at%len(r.servers)]+"/api/transfers", key, body)
			if err != nil || status >= http.StatusInternalServerError {
				r.repeated.Add(1)
				continue
			}
			switch status {
			case http.StatusCreated:
				r.mu.Lock()
				r.acknowledged[key] = true
				r.mu.Unlock()
			case http.StatusConflict:
				r.refused.Add(1) // there was not enough
			default:
				r.t.Errorf("a transfer is answered with %d", status)
			}
			break
		}
	}
}

func post(ctx context.Context, url, key string, body []byte) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", key)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close() //nolint:errcheck // only read
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, err
}

// observe looks at the books all the time.
func (r *rush) observe(ctx context.Context, s *server) {
	for ctx.Err() == nil {
		books, err := s.Bank.Views.Books(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			r.t.Errorf("the books: %v", err)
			return
		// Right after the start the overview is still on its way.
		case books.Accounts == accounts && books.Customers+books.Transit != accounts*each && books.Cash == accounts*each:
			r.t.Errorf("%v instead of %v: %+v", books.Customers+books.Transit, money.Amount(accounts*each), books)
		case !books.Conserved():
			r.t.Errorf("money was lost or made: %+v", books)
		}
		r.observed.Add(1)
		time.Sleep(10 * time.Millisecond)
	}
}

// checkStreams reads all streams, checks their order and that the balances hold all
// money, and returns how many halves of each transfer are there, by the command's key.
func checkStreams(t *testing.T, bank *service.Bank) map[string]int {
	t.Helper()
	halves, total := map[string]int{}, money.Amount(0)
	for i := range accounts {
		state, version, position := new(account.Account), int64(0), int64(0)
		stream := es.StreamID{Category: "account", Key: strconv.Itoa(i)}
		for rec, err := range bank.Log.ReadStream(t.Context(), stream, es.ReadOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			e, err := es.Decode(account.Events, rec)
			if err != nil {
				t.Fatal(err)
			}
			state.Apply(e.Event)
			if version++; rec.Version != version || rec.Position <= position || state.Balance < 0 {
				t.Errorf("%s: version %d at position %d behind %d, balance %v", stream, rec.Version, rec.Position, position, state.Balance)
			}
			position = rec.Position
			halves[rec.Metadata.Values["command"]]++
		}
		total += state.Balance
	}
	if total != accounts*each {
		t.Errorf("the accounts hold %v, want %v", total, money.Amount(accounts*each))
	}
	return halves
}

// process is a server in a process of its own.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	url string
}

// startProcess starts the bank as its users do.
func startProcess(t *testing.T, address string) *process {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(program, "serve", "--addr", "127.0.0.1:0")}
	p.cmd.Env = append(os.Environ(), childEnv+"=1", "PEAT_BANK_STORE="+address)
	p.cmd.Stderr = t.Output()
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.end() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if _, url, ok := strings.Cut(strings.TrimSpace(line), "serving "); ok {
		p.url = url
		return p
	}
	t.Fatalf("the server says %q, %v", line, err)
	return nil
}

// kill ends the process without a warning.
func (p *process) kill() {
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Error(err)
	}
}

// end ends the process in good order, unless it was killed.
func (p *process) end() {
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
	err := p.cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.String() == "signal: killed" {
		return
	}
	if err != nil {
		p.t.Errorf("a server that was told to end: %v", err)
	}
}
