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
// What the package's own tests do with it is told in docs/adr and CONTRIBUTING: scripts
// of interleaved steps are drawn, played on the simulated log and on a real server, and
// must come to the same; and readers and writers that are wrong on purpose must be
// caught by them.
//
// # Limits of the simulation
//
// It has no cost model, no plans and no network, one isolation level (READ COMMITTED) and
// one epoch. Leases and a session's Wait go by the clock; use testing/synctest to have
// that under control, too.
package proptest
