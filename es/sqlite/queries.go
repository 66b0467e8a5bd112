package sqlite

import (
	"embed"
	"strings"
)

//go:embed sql/*.sql
var sqlFiles embed.FS

// chunkRows is how many events one statement inserts, where an append has as many.
const chunkRows = 32

// eventParameters is the row of insert_events.
const eventParameters = "(?, ?, ?, ?, ?, ?, ?, ?, ?)"

// queries holds the statements.
type queries struct {
	streamHead, advanceStream, findAppend, lockStream string
	insertEvent, insertChunk                          string
	readSnapshot, writeSnapshot, deleteSnapshots      string
	findEvent                                         string
	readStream, readAll, readCategory                 bothWays
	createMigrations, hasMigrations                   string
	appliedMigrations, recordMigration                string
	savepoint, rollbackTo, release                    string
	lastPosition, feed                                string
	loadCheckpoint, saveProgress, park, unpark        string
	countParked, isParked                             string
	countClaim, claim, fence, forget, forgetParked    string
	readers, recordFailure, lag, streamAt             string
	parked, discarded, readParked                     string
	requestRedrive, recordDiscard, discard            string
	generations, firstGeneration                      string
	beginRebuild, cancelRebuild, takeOver             string
}

// bothWays is a statement that reads forward or backward.
type bothWays struct{ forward, backward string }

func (b bothWays) direction(backward bool) string {
	if backward {
		return b.backward
	}
	return b.forward
}

func newQueries() *queries {
	one := func(name string) string {
		text, err := sqlFiles.ReadFile("sql/" + name + ".sql")
		if err != nil {
			panic(err) // the files are part of the program
		}
		return string(text)
	}
	both := func(name string) bothWays {
		text := one(name)
		return bothWays{
			forward:  strings.NewReplacer("{bound}", ">=", "{order}", "ASC").Replace(text),
			backward: strings.NewReplacer("{bound}", "<=", "{order}", "DESC").Replace(text),
		}
	}
	insert := func(rows int) string {
		values := strings.Repeat(", "+eventParameters, rows)[len(", "):]
		return strings.ReplaceAll(one("insert_events"), "{rows}", values)
	}
	return &queries{
		lastPosition: one("last_position"), feed: one("feed"),
		loadCheckpoint: one("load_checkpoint"), saveProgress: one("save_progress"), park: one("park"), unpark: one("unpark"), countParked: one("count_parked"), isParked: one("is_parked"),
		countClaim: one("count_claim"), claim: one("claim"), fence: one("fence"), forget: one("forget"), forgetParked: one("forget_parked"),
		readers: one("readers"), recordFailure: one("record_failure"), lag: one("lag"), streamAt: one("stream_at"),
		parked: one("parked"), discarded: one("discarded"), readParked: one("read_parked"),
		requestRedrive: one("request_redrive"), recordDiscard: one("record_discard"), discard: one("discard"),
		generations: one("generations"), firstGeneration: one("first_generation"),
		beginRebuild: one("begin_rebuild"), cancelRebuild: one("cancel_rebuild"), takeOver: one("take_over"),
		streamHead: one("stream_head"), advanceStream: one("advance_stream"),
		findAppend: one("find_append"), lockStream: one("lock_stream"),
		insertEvent: insert(1), insertChunk: insert(chunkRows),
		readSnapshot: one("read_snapshot"), writeSnapshot: one("write_snapshot"), deleteSnapshots: one("delete_snapshots"),
		findEvent:  one("find_event"),
		readStream: both("read_stream"), readAll: both("read_all"), readCategory: both("read_category"),
		createMigrations: one("create_migrations"), hasMigrations: one("has_migrations"),
		appliedMigrations: one("applied_migrations"), recordMigration: one("record_migration"),
		savepoint: "SAVEPOINT peat", rollbackTo: "ROLLBACK TO peat", release: "RELEASE peat",
	}
}

// reads are the statements that the readers keep prepared.
func (q *queries) reads() []string {
	return []string{
		q.streamHead, q.readSnapshot, q.findEvent,
		q.readStream.forward, q.readStream.backward, q.readAll.forward, q.readAll.backward,
		q.readCategory.forward, q.readCategory.backward, q.lastPosition, q.loadCheckpoint,
		q.readers, q.streamAt, q.parked, q.discarded, q.readParked, q.generations,
	}
}

// writes are those that only the writer needs.
func (q *queries) writes() []string {
	return []string{
		q.advanceStream, q.findAppend, q.lockStream, q.insertEvent, q.insertChunk, q.writeSnapshot, q.deleteSnapshots,
		q.saveProgress, q.park, q.unpark, q.countParked, q.isParked, q.countClaim, q.claim, q.fence, q.forget, q.forgetParked, q.recordFailure,
		q.requestRedrive, q.recordDiscard, q.discard, q.firstGeneration, q.beginRebuild, q.cancelRebuild, q.takeOver,
		q.savepoint, q.rollbackTo, q.release,
	}
}
