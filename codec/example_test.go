package codec_test

import (
	"fmt"

	"github.com/peatlog/peat/codec"
)

// Event is the interface of all events of an account; its unexported method
// seals it.
type Event interface {
	EventType() string
	isAccountEvent()
}

// Deposited is today's event.
type Deposited struct{ Amount int64 }

func (Deposited) EventType() string { return "account.deposited" }
func (Deposited) isAccountEvent()   {}

// storedCredit is how deposits were stored in the first year.
type storedCredit struct{ Cents int64 }

func ExampleNewUnion() {
	events := codec.NewUnion(
		codec.Case(func(e Deposited) Event { return e }),
		codec.Legacy("account.credited", func(e storedCredit) Event { return Deposited{Amount: e.Cents} }),
	)

	name, data, _, err := events.Encode(Deposited{Amount: 100})
	fmt.Println(name, string(data), err)

	old, err := events.Decode("account.credited", []byte(`{"Cents": 250}`), false)
	fmt.Printf("%+v %v\n", old, err)

	_, err = events.Decode("account.frozen", []byte(`{}`), false)
	fmt.Println(err)
	// Output:
	// account.deposited {"Amount":100} <nil>
	// {Amount:250} <nil>
	// unknown event type "account.frozen"
}
