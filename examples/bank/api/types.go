package api

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/peatlog/peat/examples/bank/money"
	"github.com/peatlog/peat/examples/bank/service"
)

// amount is an amount of money as text, such as "1234.50": numbers of JSON are
// floats to many programs.
type amount money.Amount

// Schema implements [huma.SchemaProvider].
func (amount) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{
		Type: "string", Pattern: `^-?[0-9]{1,15}(\.[0-9]{1,2})?$`,
		Description: "An amount of money with at most two decimals.", Examples: []any{"1234.50"},
	}
	s.PrecomputeMessages()
	return s
}

// MarshalJSON implements [json.Marshaler].
func (a amount) MarshalJSON() ([]byte, error) { return json.Marshal(money.Amount(a).String()) }

// UnmarshalJSON implements [json.Unmarshaler].
func (a *amount) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	parsed, err := money.Parse(text)
	*a = amount(parsed)
	return err
}

// CommandHeaders come with every command. They are exported, as huma sees no fields of
// embedded types that are not.
type CommandHeaders struct {
	Key string `header:"Idempotency-Key" pattern:"^[!-~]{1,100}$" doc:"Makes the command land once, however often it is sent. The same key with another command is refused."`
}

// MatchHeader comes with commands on one account.
type MatchHeader struct {
	IfMatch string `header:"If-Match" pattern:"^(\"[1-9][0-9]{0,17}\"|\\*)$" doc:"The ETag of the account that the command is meant for: it is refused if the account has changed since."`
}

// command returns what is common to commands, with the request in words.
func command(h CommandHeaders, m MatchHeader, request string, args ...any) service.Command {
	c := service.Command{Key: h.Key, Request: fmt.Sprintf(request, args...), Actor: "api"}
	c.IfVersion, _ = strconv.ParseInt(strings.Trim(m.IfMatch, `"`), 10, 64) // 0 for none and for *
	return c
}

// receipt is the answer to a command.
type receipt struct {
	ETag     string `header:"ETag" doc:"The version of the account that the command has made."`
	Position string `header:"Bank-Position" doc:"Send it with a read to see what the command has done."`
	Replayed string `header:"Idempotency-Replayed" doc:"\"true\" if the command had landed before."`
	Location string `header:"Location"`
	Body     receiptBody
}

type receiptBody struct {
	Account  string `json:"account"`
	Version  int64  `json:"version" doc:"The version of the account that the command has made."`
	Position int64  `json:"position" doc:"The place in the log, for Bank-Position."`
}

func receiptOf(id, location string, r service.Receipt) *receipt {
	out := &receipt{
		ETag: etag(r.Version), Position: strconv.FormatInt(r.Position, 10), Location: location,
		Body: receiptBody{Account: id, Version: r.Version, Position: r.Position},
	}
	if r.Repeated {
		out.Replayed = "true"
	}
	return out
}

func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// ReadAt comes with every read of a read model.
type ReadAt struct {
	Position int64 `header:"Bank-Position" minimum:"0" doc:"Of an earlier answer: the read waits until it sees what the command has done."`
}

// waiting is how long a read waits for its position.
const waiting = 5 * time.Second

// wait waits for the read models to come to a position.
func (s *Server) wait(ctx context.Context, p ReadAt, consumers ...string) error {
	ctx, cancel := context.WithTimeout(ctx, waiting)
	defer cancel()
	return s.bank.Wait(ctx, p.Position, consumers...)
}

// AccountPath names an account in a path.
type AccountPath struct {
	ID string `path:"id" pattern:"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$" example:"ann"`
}

// list is the answer of a read of several.
type list[T any] struct {
	Body listBody[T]
}

type listBody[T any] struct {
	Items []T `json:"items" nullable:"false"`
}

func listOf[R, T any](rows []R, item func(R) T) *list[T] {
	out := &list[T]{Body: listBody[T]{Items: make([]T, len(rows))}}
	for i, r := range rows {
		out.Body.Items[i] = item(r)
	}
	return out
}
