package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/peatlog/peat/es"
	"github.com/peatlog/peat/es/postgres"
	"github.com/peatlog/peat/es/sqlite"
	"github.com/peatlog/peat/examples/bank/account"
)

// storeFlag is the flag of every command that works on a store of the user's.
type storeFlag struct {
	Store string `env:"PEAT_BANK_STORE" placeholder:"S" help:"Where the events are: sqlite:PATH or postgres://user@host/database. Default: a SQLite file in your data folder."`
}

// bank is an open store with the accounts in it.
type bank struct {
	store    es.Store
	accounts *account.Repository
	inTx     account.InTx
	close    func()
}

// postgresConnections is one for each worker of an import.
const postgresConnections = 32

// open opens the store and tells the user which one it is.
func (p *Program) open(ctx context.Context, flag storeFlag) (*bank, error) {
	address := flag.Store
	if address == "" {
		file, err := defaultFile()
		if err != nil {
			return nil, err
		}
		address = "sqlite:" + file
	}
	var b *bank
	var err error
	path, isSQLite := strings.CutPrefix(address, "sqlite:")
	switch {
	case isSQLite && path != "":
		b, err = openSQLite(ctx, path)
	case strings.HasPrefix(address, "postgres://"), strings.HasPrefix(address, "postgresql://"):
		b, err = openPostgres(ctx, address)
	default:
		return nil, fmt.Errorf("unknown store %q: want sqlite:PATH or postgres://user@host/database", redacted(address))
	}
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", redacted(address), err)
	}
	p.tell("store: %s\n", redacted(address))
	b.accounts = account.NewRepository(b.store)
	return b, nil
}

func openSQLite(ctx context.Context, path string) (*bank, error) {
	store, err := sqlite.Open(ctx, path, sqlite.Options{})
	if err != nil {
		return nil, err
	}
	return &bank{
		store: store,
		inTx:  es.AnyTx(store.InTx),
		close: func() { _ = store.Close() }, // every append is on disk when it returns
	}, nil
}

func openPostgres(ctx context.Context, address string) (*bank, error) {
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
	return &bank{
		store: store,
		inTx:  es.AnyTx(store.InTx),
		close: pool.Close,
	}, nil
}

// defaultFile returns the bank's file in the user's data folder, which it creates.
func defaultFile() (string, error) {
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
	return filepath.Join(folder, "bank.db"), nil
}

// The two places of an address that can hold a password. The address is not
// parsed: what cannot be parsed may hold one all the same.
var (
	passwordOfUser  = regexp.MustCompile(`(://[^:/@]*:).*@`)
	passwordInQuery = regexp.MustCompile(`(password=)[^&]*`)
)

// redacted returns the address without its password.
func redacted(address string) string {
	if strings.HasPrefix(address, "sqlite:") {
		return address
	}
	address = passwordOfUser.ReplaceAllString(address, "${1}xxxxx@")
	return passwordInQuery.ReplaceAllString(address, "${1}xxxxx")
}
