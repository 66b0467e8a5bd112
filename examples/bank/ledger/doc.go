// Package ledger brings a bank's statement file into the store and checks the
// result against the balances that the bank printed.
//
// [Read] turns the lines of the file into rows, [Import] posts each of them to
// its account with a command of its own, and [Reconcile] reads the accounts back
// from the store and does the bank's sums again.
//
// # Errors
//
// What is wrong with a line, and what went wrong at it, is a [*LineError].
package ledger
