package clearing

import (
	"context"
	"errors"
	"testing"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/estest"
	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/internal/backends"
)

// answers is a network that gives one answer after another.
type answers []error

// Send implements [Network].
func (a *answers) Send(context.Context, account.PaymentRequested) error {
	next := (*a)[0]
	*a = (*a)[1:]
	return next
}

// opened returns the repository of an account that has requested a payment, and the
// events that the process reads of it.
func opened(t *testing.T, b estest.Backend) (*account.Repository, func() []es.Envelope[account.PaymentStep]) {
	t.Helper()
	accounts := account.NewRepository(b.Store)
	_, err := accounts.Execute(t.Context(), "ann", func(*account.Account) ([]account.Event, error) {
		return []account.Event{
			account.Opened{Holder: "Ann"}, account.Deposited{Amount: 100},
			account.PaymentRequested{Payment: "p1", To: account.Party{Bank: "YZ", Account: "1"}, Amount: 40},
		}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return accounts, func() (all []es.Envelope[account.PaymentStep]) {
		for rec, err := range b.Store.ReadStream(t.Context(), es.StreamID{Category: "account", Key: "ann"}, es.ReadOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			if e, err := es.Decode(steps, rec); err == nil {
				all = append(all, e)
			}
		}
		return all
	}
}

func TestAStepLandsOnceHoweverOftenItsEventComes(t *testing.T) {
	t.Parallel()
	rejected := &RejectedError{Reason: "unknown account"}
	for name, c := range map[string]struct {
		answers answers
		version int64
		balance string
	}{
		"settled":                                {answers{nil, nil}, 4, "0.60"},
		"rejected":                               {answers{rejected, rejected}, 5, "1.00"},
		"settled, and rejected by one overtaken": {answers{nil, rejected}, 4, "0.60"},
		"rejected, and settled by one overtaken": {answers{rejected, nil}, 5, "1.00"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			backends.Each(t, func(t *testing.T, b estest.Backend) {
				t.Helper()
				accounts, events := opened(t, b)
				answers := append(answers{}, c.answers...)
				p := process{accounts, &answers}
				for range 2 { // the request
					if err := p.next(t.Context(), events()[0]); err != nil {
						t.Fatal(err)
					}
				}
				for _, e := range events()[1:] { // the rejection, if there is one
					for range 2 {
						if err := p.next(t.Context(), e); err != nil {
							t.Fatal(err)
						}
					}
				}
				root, err := accounts.Load(t.Context(), "ann")
				if err != nil || root.Version() != c.version || root.State().Balance.String() != c.balance || root.State().Payments != nil {
					t.Errorf("version %d, %+v, %v; want version %d and %s", root.Version(), root.State(), err, c.version, c.balance)
				}
			})
		})
	}
}

func TestAPaymentThatIsNotKnownOfLeavesTheAccountAlone(t *testing.T) {
	t.Parallel()
	backends.Each(t, func(t *testing.T, b estest.Backend) {
		t.Helper()
		accounts, events := opened(t, b)
		down := errors.New("no answer")
		if err := (process{accounts, &answers{down}}).next(t.Context(), events()[0]); !errors.Is(err, down) {
			t.Errorf("got %v", err)
		}
		if root, err := accounts.Load(t.Context(), "ann"); err != nil || root.Version() != 3 {
			t.Errorf("the account is at version %d, %v", root.Version(), err)
		}
	})
}

func TestTheSimulatedBanks(t *testing.T) {
	t.Parallel()
	network := Simulated{Unreachable: []string{"QR"}}
	for name, c := range map[string]struct {
		to   account.Party
		want string
	}{
		"taken":       {account.Party{Bank: "YZ", Account: "1"}, ""},
		"no bank":     {account.Party{Bank: "ZZ", Account: "1"}, "rejected: there is no bank ZZ"},
		"no account":  {account.Party{Bank: "YZ", Account: "01"}, "rejected: bank YZ has no account 01"},
		"unreachable": {account.Party{Bank: "QR", Account: "1"}, "no answer"},
	} {
		got := ""
		if err := network.Send(t.Context(), account.PaymentRequested{To: c.to}); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
