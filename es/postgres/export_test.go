package postgres

import (
	"github.com/jackc/pgx/v5"

	"github.com/peatlog/peat/es"
)

// OnConnection does something on a session's connection.
func OnConnection(session es.Session, f func(*pgx.Conn)) { f(session.(*presence).conn) }

// Queued returns how many appends wait to be taken into a batch.
func Queued(s *Store) int { return s.queue.Waiting() }

// FrontierPosition is the first statement of a frontier.
func FrontierPosition(schema string) string { return newQueries(schema).frontierPosition }
