// Package views holds the read models of the bank: tables that answer what the
// pages ask, each kept by a projection over the events of the accounts.
//
// # Model
//
// A projection is one file: its tables, the handler that writes them, and the
// queries that read them. Handlers are written once for both stores, for a [Tx];
// [OnSQLite] and [OnPostgres] say what that is there. What a handler writes and how
// far it has come commit together, so each event counts exactly once.
//
// # Generations
//
// The tables of a projection are named after its generation, {g} in its SQL, and a
// view without the number shows the live one: a rebuild fills new tables beside the
// old ones and then turns the view, in the transaction that changes the generation.
//
// # Concurrency
//
// A [DB] is safe for concurrent use.
package views
