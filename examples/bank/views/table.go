package views

import (
	"context"
	"fmt"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/subscribe"
)

// table is a table of a projection: one for each generation, and a view of its
// name that shows the live one.
type table struct {
	name, columns string
	// index is what to index beside the primary key, "" for nothing.
	index string
}

// tables are those of all projections.
func tables() []table {
	var all []table
	for _, some := range [][]table{accountTables, statementTables, dayTables, counterpartyTables, paymentTables, reconciliationTables} {
		all = append(all, some...)
	}
	return all
}

func (t table) create(g int) []string {
	statements := []string{fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s_%d (%s)", t.name, g, t.columns)}
	if t.index != "" {
		statements = append(statements, fmt.Sprintf("CREATE INDEX IF NOT EXISTS %[1]s_%[2]d_index ON %[1]s_%[2]d (%[3]s)", t.name, g, t.index))
	}
	return statements
}

func (t table) show(g int) string {
	return fmt.Sprintf("CREATE VIEW %[1]s AS SELECT * FROM %[1]s_%[2]d", t.name, g)
}

// rebuilt makes a projection one that can be rebuilt while it is read.
func rebuilt[T Tx](tables []table) subscribe.Handler[T] {
	prepare := func(ctx context.Context, tx T, g int) error {
		for _, t := range tables {
			for _, statement := range t.create(g) {
				if err := tx.Exec(ctx, statement); err != nil {
					return err
				}
			}
		}
		return nil
	}
	takeOver := func(ctx context.Context, tx T, from, to int) error {
		for _, t := range tables {
			for _, statement := range []string{
				"DROP VIEW " + t.name, t.show(to), fmt.Sprintf("DROP TABLE IF EXISTS %s_%d", t.name, from),
			} {
				if err := tx.Exec(ctx, statement); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return subscribe.OnRebuild(prepare, takeOver)
}

// Names of the consumers, one for each projection.
const (
	Accounts       = "accounts"
	Statement      = "statement"
	Days           = "days"
	Counterparties = "counterparties"
	Payments       = "payments"
	Reconciliation = "reconciliation"
)

// batchEvents bounds a batch. On SQLite commands wait while one is written, so it is
// short.
const batchEvents = 100

// Consumers returns the projections for a runner. An event that a handler cannot
// take is set aside with everything later of its account, and all others go on.
func (db *DB) Consumers() []subscribe.Consumer {
	all := []subscribe.Consumer{
		{Name: Accounts, Delivery: subscribe.Transactional(db.writes, accountsHandler, rebuilt[Tx](accountTables))},
		{Name: Statement, Delivery: subscribe.Transactional(db.writes, statementHandler, rebuilt[Tx](statementTables)), Segments: db.dialect.segments},
		{Name: Days, Delivery: subscribe.Transactional(db.writes, daysHandler, rebuilt[Tx](dayTables))},
		{Name: Counterparties, Delivery: subscribe.Transactional(db.writes, counterpartiesHandler, rebuilt[Tx](counterpartyTables))},
		{Name: Payments, Delivery: subscribe.Transactional(db.writes, paymentsHandler, rebuilt[Tx](paymentTables))},
		{Name: Reconciliation, Delivery: subscribe.Transactional(db.asking, reconciliationHandler, rebuilt[AskingTx](reconciliationTables))},
	}
	for i := range all {
		all[i].Filter = es.Filter{Categories: []string{"account"}}
		all[i].OnFailure = subscribe.Park
		all[i].BatchEvents = batchEvents
	}
	return all
}
