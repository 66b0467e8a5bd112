package cli

import (
	"context"
	"log/slog"
	"net"

	"github.com/peatlog/peat/examples/bank/clearing"
	"github.com/peatlog/peat/examples/bank/service"
	"github.com/peatlog/peat/examples/bank/web"
)

type serveCmd struct {
	storeFlag
	Addr        string   `default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Where to listen. There is no login: whoever reaches it is a clerk."`
	Unreachable []string `placeholder:"BANK" help:"Codes of banks that do not answer, to see payments set aside."`
}

// Run serves the bank until it is told to end.
func (c *serveCmd) Run(ctx context.Context, p *Program) error {
	log := slog.New(slog.NewTextHandler(p.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	b, err := p.open(ctx, c.storeFlag, service.Options{Logger: log, Network: clearing.Simulated{Unreachable: c.Unreachable}})
	if err != nil {
		return err
	}
	defer b.Close()
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", c.Addr)
	if err != nil {
		return err
	}
	if err := p.printf("serving http://%s\n", listener.Addr()); err != nil {
		return err
	}
	return web.Serve(ctx, listener, b, log)
}
