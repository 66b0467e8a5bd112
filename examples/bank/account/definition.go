package account

import (
	"github.com/peatlog/peat/aggregate"
	"github.com/peatlog/peat/codec"
)

// Events is the union of all events of an account. An event that changes its
// form gets a new name here and a codec.Legacy case for the old one.
var Events = codec.NewUnion(
	codec.Case(func(e Opened) Event { return e }),
	codec.Case(func(e Deposited) Event { return e }),
	codec.Case(func(e Withdrawn) Event { return e }),
	codec.Case(func(e TransferSent) Event { return e }),
	codec.Case(func(e TransferReceived) Event { return e }),
	codec.Case(func(e Frozen) Event { return e }),
	codec.Case(func(e Unfrozen) Event { return e }),
	codec.Case(func(e Closed) Event { return e }),
	codec.Case(func(e PaymentRequested) Event { return e }),
	codec.Case(func(e PaymentSettled) Event { return e }),
	codec.Case(func(e PaymentRejected) Event { return e }),
	codec.Case(func(e PaymentRefunded) Event { return e }),
	codec.Case(func(e CashDeposited) Event { return e }),
	codec.Case(func(e CashWithdrawn) Event { return e }),
	codec.Case(func(e CardWithdrawn) Event { return e }),
	codec.Case(func(e PaymentReceived) Event { return e }),
	codec.Case(func(e PaymentSent) Event { return e }),
	codec.Case(func(e InterestCredited) Event { return e }),
	codec.Case(func(e PenaltyInterestCharged) Event { return e }),
	codec.Case(func(e StatementFeeCharged) Event { return e }),
)

// Accounts ties the state to its events and to the streams "account-…".
//
// It takes no snapshots: an account has some dozen events a year, and without
// snapshots a command is recognised however long ago it landed, which is what
// lets a statement be imported again.
var Accounts = aggregate.Define("account", Events, func() *Account { return new(Account) })

// Repository loads and saves accounts.
type Repository = aggregate.Repository[*Account, Event]

// NewRepository returns the repository of the accounts in a store.
func NewRepository(store aggregate.Store) *Repository {
	return aggregate.NewRepository(store, Accounts)
}
