// Package account is the domain of the bank: accounts, what can happen to them,
// and the rules.
//
// # Model
//
// An [Account] is folded from its events. There are two kinds of events beside
// opening and closing: what customers do through this program ([Deposited],
// [Withdrawn], [TransferSent], [TransferReceived], [PaymentRequested]), which the rules of the
// account may refuse, and what another bank's ledger says has happened (every
// [Posting]), which is a fact and only recorded. All that move money are a
// [Movement].
//
// Decisions are methods of Account that return events or an error and change
// nothing. [Transfer] is the one operation on two accounts. A payment to another
// bank is a process: see [PaymentStep].
//
// # Errors
//
// [ErrNotOpen], [ErrAlreadyOpen], [ErrClosed], [ErrNoHolder],
// [ErrAmountNotPositive], [ErrNegativeOverdraft], [ErrSameAccount],
// [ErrText], [ErrFrozen], [ErrNotFrozen], [ErrNoReason], [ErrParty],
// [ErrNoPayment], [ErrPaymentsUnderWay], [ErrCommandReused], [ErrID],
// [*InsufficientFundsError], [*BalanceNotZeroError], and money.ErrRange for a
// balance that no amount can hold.
package account
