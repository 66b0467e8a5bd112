// Package proptest tests event-sourced code with properties: statements that must hold
// whatever happens, and a tool that looks for what breaks them.
//
// # The simulated log
//
// [Log] is an event log in memory that behaves as one on PostgreSQL does: transactions
// get their ids at their first write, positions are drawn outside of them and are never
// given back, a transaction that began first may commit last, and a crash takes away
// what was not durable. It passes the conformance suite of the real stores and reads its
// feed by the same code as es/postgres. A test decides what happens when, so what a
// server does once in a million times happens in each run:
//
//	log := proptest.NewLog(proptest.LogOptions{})
//	early, late := log.Begin(), log.Begin()
//	early.Append(ctx, order, es.Any, placed)   // draws position 1
//	late.Append(ctx, payment, es.Any, paid)    // draws position 2
//	late.Commit()                              // and is visible first
//	early.Commit()
//
// That it behaves so is tested, not believed: scripts of interleaved steps are drawn and
// played on it and on a real server, and must come to the same, to the last transaction
// id; see docs/adr/0010-simulated-log.md.
//
// # Limits of the simulation
//
// It has no cost model, no plans and no network, one isolation level (READ COMMITTED) and
// one epoch. Leases and a session's Wait go by the clock; use testing/synctest to have
// that under control, too.
//
// # Laws
//
// What must hold of a user's own code, in a line each: [CheckCodec], [CheckFold],
// [CheckSnapshots], [CheckDecisions] and [CheckProjection] draw events, commands and
// deliveries and look for an example that breaks them; [CheckModel] compares an
// aggregate with a simple model of it:
//
//	proptest.CheckFold(t, account.Accounts, cases)
//
// # Histories
//
// A [Recorder] takes note of what the writers of a real system were told and what its
// followers were given, while processes are killed and connections cut; [Check] then
// says what was lost, repeated, reordered, or delivered although it never happened.
package proptest
