package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/postgres"
	"github.com/peatlog/peat/es/sqlite"
	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/views"
	"github.com/peatlog/peat/subscribe"
)

// backend is all that differs between the two stores.
type backend struct {
	store interface {
		es.Store
		subscribe.RunnerStore
	}
	inTx  account.InTx
	views *views.DB
	close func()
}

// postgresConnections is one for each worker of an import.
const postgresConnections = 32

// openBackend opens the store at an address: sqlite:PATH or a URL of PostgreSQL.
func openBackend(ctx context.Context, address string) (*backend, error) {
	var b *backend
	var err error
	path, isSQLite := strings.CutPrefix(address, "sqlite:")
	switch {
	case isSQLite && path != "":
		b, err = openSQLite(ctx, path)
	case strings.HasPrefix(address, "postgres://"), strings.HasPrefix(address, "postgresql://"):
		b, err = openPostgres(ctx, address)
	default:
		return nil, fmt.Errorf("unknown store %q: want sqlite:PATH or postgres://user@host/database", Redacted(address))
	}
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", Redacted(address), err)
	}
	if err := b.views.Create(ctx); err != nil {
		b.close()
		return nil, fmt.Errorf("store %s: %w", Redacted(address), err)
	}
	return b, nil
}

// patience is how long a command waits for the file's write lock, which the import of a
// ledger or a rebuild takes again and again.
const patience = 15 * time.Second

func openSQLite(ctx context.Context, path string) (*backend, error) {
	store, err := sqlite.Open(ctx, path, sqlite.Options{BusyTimeout: patience})
	if err != nil {
		return nil, err
	}
	db, err := views.OnSQLite(store, path)
	if err != nil {
		_ = store.Close() // nothing was written
		return nil, err
	}
	return &backend{
		store: store, inTx: es.AnyTx(store.InTx), views: db,
		close: func() { _, _ = db.Close(), store.Close() }, // every append is on disk when it returns
	}, nil
}

func openPostgres(ctx context.Context, address string) (*backend, error) {
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, err
	}
	config.MaxConns = max(config.MaxConns, postgresConnections)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	// A service would migrate when it is deployed; an example at every start.
	var store *postgres.Store
	if err = postgres.Migrate(ctx, pool, postgres.Options{}); err == nil {
		store, err = postgres.Open(ctx, pool, postgres.Options{})
	}
	if err != nil {
		pool.Close()
		if refused, ok := errors.AsType[*pgconn.ConnectError](err); ok {
			err = fmt.Errorf("is the server running and the address right? %w", refused)
		}
		return nil, err
	}
	db := views.OnPostgres(store, pool)
	return &backend{
		store: store, inTx: es.AnyTx(store.InTx), views: db,
		close: func() { _ = db.Close(); pool.Close() },
	}, nil
}

// DefaultAddress returns that of the bank's file in the user's data folder, which it
// creates.
func DefaultAddress() (string, error) {
	folder := os.Getenv("XDG_DATA_HOME")
	if folder == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("no place for the store, give one with --store sqlite:PATH: %w", err)
		}
		folder = filepath.Join(home, ".local", "share")
	}
	folder = filepath.Join(folder, "peat-bank")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", fmt.Errorf("no place for the store, give one with --store sqlite:PATH: %w", err)
	}
	return "sqlite:" + filepath.Join(folder, "bank.db"), nil
}

// The two places of an address that can hold a password. The address is not
// parsed: what cannot be parsed may hold one all the same.
var (
	passwordOfUser  = regexp.MustCompile(`(://[^:/@]*:).*@`)
	passwordInQuery = regexp.MustCompile(`(password=)[^&]*`)
)

// Redacted returns an address without its password.
func Redacted(address string) string {
	if strings.HasPrefix(address, "sqlite:") {
		return address
	}
	address = passwordOfUser.ReplaceAllString(address, "${1}xxxxx@")
	return passwordInQuery.ReplaceAllString(address, "${1}xxxxx")
}
