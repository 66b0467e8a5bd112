package postgres

import (
	"embed"
	"strings"

	"github.com/jackc/pgx/v5"
)

//go:embed sql/*.sql
var sqlFiles embed.FS

// queries holds the statements with the schema's name in place.
type queries struct {
	schema string // quoted

	append, appendEvent, streamVersion, lockStream           string
	frontierPosition, frontierSnapshot, frontierNext, epochs string
	genericPlans, newIncarnation, sequenceBehind             string
	pins, newestXID, lockLog, openEpoch                      string
	loadCheckpoint, claimCheckpoint, saveProgress            string
	endDeliveries, fence, lockSubscriptions, loadCheckpoints string
	forgetSubscriptions, lockTimeout, lockTimeoutDefault     string
	readers, recordFailure, lag, readerOf                    string
	parked, discarded, readParked, requestRedrive, discard   string
	generations, firstGeneration, beginRebuild               string
	cancelRebuild, lockProjection, takeOver, windowHolds     string
	notify, listen, sessionLimits                            string
	acquireLeases, releaseLeases, renewLeases                string
	joinGroups, members                                      string
	feed, feedArm, feedStragglers, feedStream, feedBackstop  string
	readSnapshot, writeSnapshot, deleteSnapshots, findEvents string
	readStream, readAll, readCategory                        bothWays
	createMigrations, appliedMigrations, recordMigration     string
	lockMigrations, sequenceCache                            string
}

// bothWays is a statement that reads forward or backward.
type bothWays struct{ forward, backward string }

func (b bothWays) direction(backward bool) string {
	if backward {
		return b.backward
	}
	return b.forward
}

func newQueries(schema string) queries {
	q := queries{schema: pgx.Identifier{schema}.Sanitize()}
	one := func(name string) string {
		text, err := sqlFiles.ReadFile("sql/" + name + ".sql")
		if err != nil {
			panic(err) // the files are part of the program
		}
		return q.inSchema(string(text))
	}
	part := func(name string) string { // of a statement, without the comment
		text := one(name)
		for strings.HasPrefix(text, "--") {
			_, text, _ = strings.Cut(text, "\n")
		}
		return strings.TrimSpace(text)
	}
	both := func(name string) bothWays {
		text := one(name)
		return bothWays{
			forward:  strings.NewReplacer("{bound}", ">=", "{order}", "ASC").Replace(text),
			backward: strings.NewReplacer("{bound}", "<=", "{order}", "DESC").Replace(text),
		}
	}
	q.append, q.appendEvent = one("append"), one("append_event")
	q.streamVersion, q.lockStream = one("stream_version"), one("lock_stream")
	q.frontierPosition, q.frontierSnapshot, q.frontierNext = one("frontier_position"), one("frontier_snapshot"), one("frontier_next")
	q.genericPlans = one("generic_plans")
	q.newIncarnation, q.sequenceBehind = one("new_incarnation"), one("sequence_behind")
	q.pins, q.newestXID, q.lockLog, q.openEpoch = one("pins"), one("newest_xid"), one("lock_log"), one("open_epoch")
	q.loadCheckpoint, q.claimCheckpoint, q.saveProgress = one("load_checkpoint"), one("claim_checkpoint"), one("save_progress")
	q.endDeliveries = one("end_deliveries")
	q.fence, q.lockSubscriptions, q.loadCheckpoints = one("fence"), one("lock_subscriptions"), one("load_checkpoints")
	q.forgetSubscriptions, q.lockTimeout, q.lockTimeoutDefault = one("forget_subscriptions"), one("lock_timeout"), one("lock_timeout_default")
	q.readers, q.recordFailure, q.lag, q.readerOf = one("readers"), one("record_failure"), one("lag"), one("reader_of")
	q.parked, q.discarded, q.readParked = one("parked"), one("discarded"), one("read_parked")
	q.requestRedrive, q.discard = one("request_redrive"), one("discard")
	q.generations, q.firstGeneration, q.beginRebuild = one("generations"), one("first_generation"), one("begin_rebuild")
	q.cancelRebuild, q.lockProjection, q.takeOver = one("cancel_rebuild"), one("lock_projection"), one("take_over")
	q.windowHolds = one("window_holds")
	q.notify, q.listen, q.sessionLimits = one("notify"), one("listen"), one("session_limits")
	q.joinGroups, q.members = one("join_groups"), one("members")
	q.acquireLeases, q.releaseLeases, q.renewLeases = one("acquire_leases"), one("release_leases"), one("renew_leases")
	q.epochs, q.feed, q.feedBackstop = one("epochs"), one("feed"), one("feed_backstop")
	q.feedArm, q.feedStragglers = part("feed_arm"), part("feed_stragglers")
	q.feedStream = strings.Replace(part("feed_stream"), "{delivered}", part("feed_version"), 1)
	q.readSnapshot, q.writeSnapshot, q.deleteSnapshots = one("read_snapshot"), one("write_snapshot"), one("delete_snapshots")
	q.findEvents = one("find_events")
	q.readStream, q.readAll, q.readCategory = both("read_stream"), both("read_all"), both("read_category")
	q.createMigrations, q.appliedMigrations, q.recordMigration = one("create_migrations"), one("applied_migrations"), one("record_migration")
	q.lockMigrations, q.sequenceCache = one("lock_migrations"), one("sequence_cache")
	return q
}

// inSchema puts the schema's quoted name into a statement.
func (q queries) inSchema(text string) string {
	return strings.ReplaceAll(text, "{schema}", q.schema)
}
