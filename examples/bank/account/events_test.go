package account_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/money"
)

// stored has one payload for every name that has ever been in a log, as it was
// written then, and what it means. Lines are added, never changed: a line that
// fails is a log that can no longer be read.
var stored = map[string]struct {
	payload string
	event   account.Event
}{
	"account.opened": {
		`{"holder":"Ann","overdraft":50000}`,
		account.Opened{Holder: "Ann", Overdraft: 50000},
	},
	"account.deposited":         {`{"amount":100}`, account.Deposited{Amount: 100}},
	"account.withdrawn":         {`{"amount":100}`, account.Withdrawn{Amount: 100}},
	"account.transfer_sent":     {`{"to":"bob","amount":100}`, account.TransferSent{To: "bob", Amount: 100}},
	"account.transfer_received": {`{"from":"ann","amount":100}`, account.TransferReceived{From: "ann", Amount: 100}},
	"account.closed":            {`{}`, account.Closed{}},
	"account.frozen":            {`{"reason":"lost card"}`, account.Frozen{Reason: "lost card"}},
	"account.unfrozen":          {`{}`, account.Unfrozen{}},
	"account.payment_requested": {
		`{"payment":"p1","to":{"bank":"YZ","account":"62457513"},"amount":100}`,
		account.PaymentRequested{Payment: "p1", To: account.Party{Bank: "YZ", Account: "62457513"}, Amount: 100},
	},
	"account.payment_settled": {
		`{"payment":"p1","to":{"bank":"YZ","account":"62457513"},"amount":100}`,
		account.PaymentSettled{Payment: "p1", To: account.Party{Bank: "YZ", Account: "62457513"}, Amount: 100},
	},
	"account.payment_rejected": {`{"payment":"p1","reason":"unknown account"}`, account.PaymentRejected{Payment: "p1", Reason: "unknown account"}},
	"account.payment_refunded": {`{"payment":"p1","amount":100}`, account.PaymentRefunded{Payment: "p1", Amount: 100}},
	"account.cash_deposited": {
		`{"transaction":695247,"date":"1993-01-01","amount":70000,"printed":70000}`,
		account.CashDeposited{Entry: account.Entry{Transaction: 695247, Date: "1993-01-01", Amount: 70000, Printed: 70000}},
	},
	"account.cash_withdrawn": {
		`{"transaction":989796,"date":"1993-05-10","amount":470000,"printed":8524410,"purpose":"household"}`,
		account.CashWithdrawn{
			Entry:   account.Entry{Transaction: 989796, Date: "1993-05-10", Amount: 470000, Printed: 8524410},
			Purpose: account.Household,
		},
	},
	"account.card_withdrawn": {
		`{"transaction":1,"date":"1993-05-10","amount":100,"printed":-100}`,
		account.CardWithdrawn{Entry: account.Entry{Transaction: 1, Date: "1993-05-10", Amount: 100, Printed: -100}},
	},
	"account.payment_received": {
		`{"transaction":637742,"date":"1993-01-05","amount":512300,"printed":592300,"from":{"bank":"YZ","account":"62457513"},"purpose":"pension"}`,
		account.PaymentReceived{
			Entry:   account.Entry{Transaction: 637742, Date: "1993-01-05", Amount: 512300, Printed: 592300},
			From:    account.Party{Bank: "YZ", Account: "62457513"},
			Purpose: account.Pension,
		},
	},
	"account.payment_sent": {
		`{"transaction":527534,"date":"1993-07-12","amount":461000,"printed":4343190,"to":{"bank":"OP","account":"33671474"},"purpose":"loan"}`,
		account.PaymentSent{
			Entry:   account.Entry{Transaction: 527534, Date: "1993-07-12", Amount: 461000, Printed: 4343190},
			To:      account.Party{Bank: "OP", Account: "33671474"},
			Purpose: account.Loan,
		},
	},
	"account.interest_credited": {
		`{"transaction":3591421,"date":"1993-01-31","amount":1260,"printed":375460}`,
		account.InterestCredited{Entry: account.Entry{Transaction: 3591421, Date: "1993-01-31", Amount: 1260, Printed: 375460}},
	},
	"account.penalty_interest_charged": {
		`{"transaction":3449868,"date":"1993-06-30","amount":300,"printed":-290960}`,
		account.PenaltyInterestCharged{Entry: account.Entry{Transaction: 3449868, Date: "1993-06-30", Amount: 300, Printed: -290960}},
	},
	"account.statement_fee_charged": {
		`{"transaction":695490,"date":"1993-02-28","amount":1460,"printed":7143780}`,
		account.StatementFeeCharged{Entry: account.Entry{Transaction: 695490, Date: "1993-02-28", Amount: 1460, Printed: 7143780}},
	},
}

func TestEveryStoredEventCanBeRead(t *testing.T) {
	t.Parallel()
	for name, s := range stored {
		got, err := account.Events.Decode(name, []byte(s.payload), false)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff(s.event, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestEventsAreStoredInTheirForm(t *testing.T) {
	t.Parallel()
	for name, s := range stored {
		gotName, payload, _, err := account.Events.Encode(s.event)
		if err != nil || gotName != name {
			t.Errorf("%s is encoded as %s, %v", name, gotName, err)
		}
		if diff := cmp.Diff(object(t, s.payload), object(t, string(payload))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestEveryEventIsPinned(t *testing.T) {
	t.Parallel()
	names := slices.Sorted(maps.Keys(stored))
	if diff := cmp.Diff(account.Events.Names(), names); diff != "" {
		t.Errorf("names of the union and of this test (-union +test):\n%s", diff)
	}
}

// debits are the events that take money out of the account.
var debits = []string{
	"account.withdrawn", "account.transfer_sent", "account.payment_requested", "account.cash_withdrawn", "account.card_withdrawn",
	"account.payment_sent", "account.penalty_interest_charged", "account.statement_fee_charged",
}

// A movement that the fold does not know as one would move no money.
func TestEveryEventWithAnAmountMovesIt(t *testing.T) {
	t.Parallel()
	for name, s := range stored {
		amount := reflect.ValueOf(s.event).FieldByName("Amount")
		movement, ok := s.event.(account.Movement)
		if amount.IsValid() != ok && name != "account.payment_settled" { // whose money has left already
			t.Errorf("%s: has an amount: %v, is a movement: %v", name, amount.IsValid(), ok)
		}
		if !ok {
			continue
		}
		want := money.Amount(amount.Int())
		if slices.Contains(debits, name) {
			want = -want
		}
		if movement.Change() != want {
			t.Errorf("%s changes the balance by %v, want %v", name, movement.Change(), want)
		}
	}
}

func object(t *testing.T, text string) map[string]json.RawMessage {
	t.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &fields); err != nil {
		t.Fatal(err)
	}
	return fields
}
