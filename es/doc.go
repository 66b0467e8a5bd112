// Package es holds the words of event sourcing: events, streams, expected
// versions, metadata, the errors, and the seams that stores and their users meet at.
//
// # Model
//
// A [StreamID] names a stream; a stream is a sequence of events with the versions
// 1, 2, 3, … without holes. What is appended is an [EventData], what is read back a
// [Recorded], and with the payload decoded an [Envelope]. The log is all streams
// together; each event has a position in it.
//
// # Consistency
//
// An append names the version it [Expected], perhaps with the id of the event that was
// read there ([After]); it lands whole or not at all. A stream that is longer than
// expected, one that is shorter, and one that holds another event there are all a
// [ConflictError]. An append can be repeated with the same event ids, and is then
// recognised, so that a caller who lost the answer can find it out. An id is in the log
// once.
//
// A context can be about a command ([WithCommandID]), which then lands once for its id.
//
// # Stores
//
// The stores are packages es/postgres and es/sqlite. Both pass the suite in
// es/estest, and so may others. Everything is safe for concurrent use unless it
// says otherwise; transactions ([Tx]) say so.
//
// # Telemetry
//
// A store tells the [Tracers] in its options of its appends and loads. Package
// otelpeat makes spans and metrics of OpenTelemetry from it.
//
// # Errors
//
// Sentinels answer a question (errors.Is with [ErrConflict]); where there is more
// to know, a typed pointer carries it and unwraps to the sentinel (errors.AsType
// with *[ConflictError]).
package es
