package codec_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peatlog/peat/codec"
	"github.com/peatlog/peat/codec/cbor"
)

// money moved is what a reader of its own calls some of the events.
type moneyEvent interface {
	EventType() string
	isMoney()
}

func (deposited) isMoney() {}

func TestPartReadsOlderFormsAsTheWholeDoes(t *testing.T) {
	t.Parallel()
	whole := newUnion().Of("account")
	deposits := codec.Part(whole, codec.Case(func(e deposited) moneyEvent { return e }))
	if deposits.Category() != "account" || !deposits.Partial() || whole.Partial() || newUnion().Category() != "" {
		t.Errorf("category %q, partial %v", deposits.Category(), deposits.Partial())
	}
	for _, c := range []struct {
		name, data string
		want       moneyEvent
		err        error
	}{
		{"account.deposited", `{"amount": 5}`, deposited{Amount: 5}, nil},
		{"account.credited", `{"Cents": 6}`, deposited{Amount: 6, Note: "from v1"}, nil},
		{"account.credited.v2", `{"Cents": 7, "Why": "b"}`, deposited{Amount: 7, Note: "b"}, nil},
		{"account.adjusted", `{"Cents": 8}`, deposited{Amount: 8}, nil},
		{"account.adjusted", `{"Cents": 0}`, nil, codec.ErrNotInPart}, // closed
		{"account.cursed", `{}`, nil, codec.ErrMalformed},
		{"account.credited", `{"Cents": "x"}`, nil, codec.ErrMalformed},
		{"account.closed", `{}`, nil, codec.ErrUnknownEvent},
	} {
		got, err := deposits.Decode(c.name, []byte(c.data), false)
		if !errors.Is(err, c.err) || !cmp.Equal(got, c.want) || errors.Is(err, codec.ErrNotInPart) && errors.Is(err, codec.ErrMalformed) {
			t.Errorf("%s %s: %v, %v", c.name, c.data, got, err)
		}
	}
	binary := codec.Part(newUnion().WithFormat(cbor.Format), codec.Case(func(e deposited) moneyEvent { return e }))
	if _, data, isBinary, err := binary.Encode(deposited{Amount: 1}); err != nil || !isBinary {
		t.Errorf("%q, binary %v, %v", data, isBinary, err)
	}
}

func TestPartRefusesWhatIsNoCaseOfTheWhole(t *testing.T) {
	t.Parallel()
	for want, build := range map[string]func(){
		`codec_test.stranger, "stranger", is no case of the whole`: func() { codec.Part(newUnion(), codec.Case(func(e stranger) event { return e })) },
		`"account.old" is a Legacy case`:                           func() { codec.Part(newUnion(), codec.Legacy("account.old", fromV2)) },
		"two cases have the event type":                            func() { d := codec.Case(func(e deposited) event { return e }); codec.Part(newUnion(), d, d) },
	} {
		refusedBy(t, build, want)
	}
	if got := fmt.Sprint(codec.Part(newUnion(), codec.Case(func(e closed) event { return e })).Names()); got != "[account.adjusted account.closed account.credited account.credited.v2 account.cursed]" {
		t.Errorf("names %s", got)
	}
}
