// Command wrongpairing gives a handler for SQLite's transactions to a PostgreSQL store,
// which must not compile.
package main

import (
	"context"
	"database/sql"

	"github.com/peatlog/peat/codec"
	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/postgres"
	"github.com/peatlog/peat/subscribe"
)

type noted struct{}

func (noted) EventType() string { return "noted" }

func main() {
	var store *postgres.Store
	events := codec.NewUnion(codec.Case(func(e noted) es.Event { return e }))
	handler := subscribe.EachIn(events, func(context.Context, *sql.Tx, es.Envelope[es.Event]) error { return nil })
	subscribe.Transactional(store, handler)
}
