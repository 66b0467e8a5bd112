//go:build unix

package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"pgregory.net/rapid"
)

// answer is what the server has said.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// value reads a field of a JSON object.
func (a answer) value(t *testing.T, name string) any {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal(a.body, &object); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
	return object[name]
}

// call sends a request. Headers are given as "Name: value".
func (s *server) call(ctx context.Context, method, path, body string, headers ...string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, s.URL+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		request.Header.Set(name, value)
		if name == "Host" {
			request.Host = value
		}
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, text}, err
}

// must sends a request that gets this status.
func (s *server) must(t *testing.T, status int, method, path, body string, headers ...string) answer {
	t.Helper()
	a, err := s.call(t.Context(), method, path, body, headers...)
	if err != nil || a.status != status {
		t.Fatalf("%s %s %s: %d, want %d: %s, %v", method, path, body, a.status, status, a.body, err)
	}
	return a
}

func TestCommandsByHTTP(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, address string) {
		s := serve(t, address)
		opened := s.must(t, 201, "POST", "/api/accounts", `{"id":"ann","holder":"Ann","overdraft":"500"}`, "Idempotency-Key: open")
		if opened.header.Get("ETag") != `"1"` || opened.header.Get("Location") != "/api/accounts/ann" {
			t.Errorf("opened: %v", opened.header)
		}
		s.must(t, 201, "POST", "/api/accounts", `{"id":"bob","holder":"Bob"}`)

		t.Run("a key makes a command land once", func(t *testing.T) {
			for i := range 3 {
				a := s.must(t, 200, "POST", "/api/accounts/ann/deposit", `{"amount":"100.00"}`, "Idempotency-Key: d1")
				if replayed := a.header.Get("Idempotency-Replayed") == "true"; replayed != (i > 0) || a.header.Get("ETag") != `"2"` {
					t.Errorf("try %d: %v", i, a.header)
				}
			}
			a := s.must(t, 422, "POST", "/api/accounts/ann/deposit", `{"amount":"100.01"}`, "Idempotency-Key: d1")
			if a.value(t, "type") != "urn:bank:problem:key-reused" {
				t.Errorf("%s", a.body)
			}
		})
		t.Run("a read sees the own write", func(t *testing.T) {
			for i := range 20 {
				a := s.must(t, 200, "POST", "/api/accounts/bob/deposit", `{"amount":"1"}`)
				got := s.must(t, 200, "GET", "/api/accounts/bob", "", "Bank-Position: "+a.header.Get("Bank-Position"))
				if want := strconv.Itoa(i+1) + ".00"; got.value(t, "balance") != want || got.header.Get("ETag") != a.header.Get("ETag") {
					t.Fatalf("after %s: %s", a.body, got.body)
				}
			}
			s.must(t, 304, "GET", "/api/accounts/bob", "", `If-None-Match: "21"`)
		})
		t.Run("a command for an old version is refused", func(t *testing.T) {
			a := s.must(t, 412, "POST", "/api/accounts/ann/withdraw", `{"amount":"1"}`, `If-Match: "1"`)
			if a.value(t, "type") != "urn:bank:problem:stale" {
				t.Errorf("%s", a.body)
			}
			s.must(t, 412, "POST", "/api/accounts/ann/withdraw", `{"amount":"1"}`, `If-Match: "3"`)
			s.must(t, 200, "POST", "/api/accounts/ann/withdraw", `{"amount":"1"}`, `If-Match: "2"`, "Idempotency-Key: w1")
			// Repeated, it is recognised, although the account has another version now.
			s.must(t, 200, "POST", "/api/accounts/ann/withdraw", `{"amount":"1"}`, `If-Match: "2"`, "Idempotency-Key: w1")
			s.must(t, 200, "POST", "/api/accounts/ann/withdraw", `{"amount":"1"}`, `If-Match: *`)
		})
		t.Run("a key of another command moves no half of a transfer", func(t *testing.T) {
			s.must(t, 201, "POST", "/api/accounts", `{"id":"eve","holder":"Eve"}`)
			s.must(t, 200, "POST", "/api/accounts/eve/deposit", `{"amount":"10"}`)
			for range 2 {
				s.must(t, 201, "POST", "/api/transfers", `{"from":"ann","to":"bob","amount":"10"}`, "Idempotency-Key: t1")
			}
			for _, body := range []string{
				`{"from":"ann","to":"eve","amount":"10"}`, `{"from":"eve","to":"bob","amount":"10"}`,
				`{"from":"bob","to":"eve","amount":"10"}`, `{"from":"ann","to":"bob","amount":"11"}`,
			} {
				s.must(t, 422, "POST", "/api/transfers", body, "Idempotency-Key: t1")
			}
		})
		t.Run("a payment is settled or comes back", func(t *testing.T) {
			for bank, want := range map[string]string{"YZ": "settled", "ZZ": "refunded"} {
				a := s.must(t, 202, "POST", "/api/payments", `{"from":"ann","to":{"bank":"`+bank+`","account":"123"},"amount":"5"}`)
				until(t, "the payment is "+want, func() (bool, error) {
					p, err := s.call(t.Context(), "GET", a.header.Get("Location"), "", "Bank-Position: "+a.header.Get("Bank-Position"))
					return p.status == 200 && p.value(t, "state") == want, err
				})
			}
		})
		t.Run("what is frozen or closed stays so", func(t *testing.T) {
			s.must(t, 200, "POST", "/api/accounts/ann/freeze", `{"reason":"lost card"}`)
			s.must(t, 409, "POST", "/api/accounts/ann/withdraw", `{"amount":"1"}`)
			s.must(t, 200, "POST", "/api/accounts/ann/deposit", `{"amount":"1"}`)
			s.must(t, 200, "POST", "/api/accounts/ann/unfreeze", "")
			s.must(t, 409, "POST", "/api/accounts/ann/close", "")
			s.must(t, 200, "POST", "/api/accounts/eve/withdraw", `{"amount":"10"}`)
			s.must(t, 200, "POST", "/api/accounts/eve/close", "")
			s.must(t, 409, "POST", "/api/accounts/eve/deposit", `{"amount":"1"}`)
		})
		s.settle(t)
		books := s.must(t, 200, "GET", "/api/books", "")
		if books.value(t, "conserved") != true || books.value(t, "customers") != "114.00" { // 100+20-2-5+1
			t.Errorf("the books: %s", books.body)
		}
	})
}

// operation is one of the document's.
type operation struct {
	method, path string
	OperationID  string                     `json:"operationId"`
	Responses    map[string]json.RawMessage `json:"responses"`
}

// operations reads the document that the server gives away.
func (s *server) operations(t *testing.T) (all []operation) {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]operation `json:"paths"`
	}
	a := s.must(t, 200, "GET", "/api/openapi.json", "")
	if err := json.Unmarshal(a.body, &doc); err != nil {
		t.Fatal(err)
	}
	for path, item := range doc.Paths {
		for method, op := range item {
			op.method, op.path = strings.ToUpper(method), path
			all = append(all, op)
		}
	}
	if len(all) < 20 {
		t.Fatalf("the document has only %d operations", len(all))
	}
	return all
}

// Whatever is sent, the server answers as the document says, with a problem where it
// refuses, never with an error of its own, and no money is lost or made.
func TestEveryEndpointBearsBadInput(t *testing.T) {
	t.Parallel()
	s := serve(t, newSQLite(t))
	s.open(t, "ann", 1000_00)
	s.open(t, "bob", 1000_00)
	operations := s.operations(t)
	for _, op := range operations {
		t.Run(op.OperationID, func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				path := op.path
				for _, name := range []string{"id", "name", "payment"} {
					path = strings.ReplaceAll(path, "{"+name+"}", segment(name).Draw(r, name))
				}
				if query := rapid.SampledFrom([]string{"", "", "?limit=0", "?limit=x", "?limit=5", "?below=-1", "?after=%00", "?search=%25", "?nonsense=1"}).Draw(r, "query"); op.method == "GET" {
					path += query
				}
				body := ""
				if op.method == "POST" {
					body = anyBody(op).Draw(r, "body")
				}
				a, err := s.call(t.Context(), op.method, path, body, anyHeaders().Draw(r, "headers")...)
				if err != nil {
					r.Fatalf("%s %s: %v", op.method, path, err)
				}
				if fault := faultOf(op, a); fault != "" {
					r.Fatalf("%s %s %s: %s: %d %v %s", op.method, path, body, fault, a.status, a.header, a.body)
				}
			})
		})
	}
	s.settle(t)
	books, err := s.Bank.Views.Books(t.Context())
	if err != nil || !books.Conserved() {
		t.Errorf("the books: %+v, %v", books, err)
	}
}

// faultOf tells what is wrong with an answer, "" for nothing.
func faultOf(op operation, a answer) string {
	kind, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
	_, documented := op.Responses[strconv.Itoa(a.status)]
	switch {
	case a.status >= 500:
		return "the server failed"
	// Of any operation: what is no request of it at all.
	case !documented && a.status != 304 && a.status != 400 && a.status != 408 && a.status != 413 && a.status != 415 && a.status != 404:
		return "the status is not in the document"
	case a.status >= 400 && kind == "application/problem+json":
		var problem huma.ErrorModel
		if err := json.Unmarshal(a.body, &problem); err != nil || problem.Status != a.status || problem.Title == "" || problem.Detail == "" {
			return fmt.Sprintf("the problem is incomplete: %v", err)
		}
	case a.status >= 400 && a.status != 404: // the path may be one of a page
		return "an error that is no problem"
	case a.status < 300 && a.status != 204 && (kind != "application/json" || !json.Valid(a.body)):
		return "no JSON"
	}
	return ""
}

// segment draws a part of a path, mostly one that fits.
func segment(name string) *rapid.Generator[string] {
	good := map[string][]string{
		"id": {"ann", "bob"}, "payment": {"5f0c9d0e-2f5b-4d0e-8a6c-6c5f3c1f0b77"},
		"name": {"accounts", "statement", "days", "clearing"},
	}[name]
	return rapid.OneOf(rapid.SampledFrom(good), rapid.SampledFrom([]string{
		"nobody", "-", "%00", "%2e%2e%2f", "%27%20OR%201=1--", strings.Repeat("x", 300), "%f0%9f%92%b0", "ann%20",
	}))
}

// anyHeaders draws headers, good and bad.
func anyHeaders() *rapid.Generator[[]string] {
	return rapid.SliceOfN(rapid.SampledFrom([]string{
		`If-Match: "1"`, `If-Match: *`, `If-Match: 1`, `If-Match: W/"1"`, `If-Match: "99999999999999999999"`, `If-None-Match: "1"`,
		"Idempotency-Key: one", "Idempotency-Key: two", "Idempotency-Key: " + strings.Repeat("k", 200), "Idempotency-Key: ü",
		"Bank-Position: 1", "Bank-Position: -1", "Bank-Position: x", "Content-Type: text/plain", "Content-Type: application/xml", "Accept: text/html",
	}), 0, 3)
}

// anyBody draws a body: with the fields of the operation, of good, odd and wrong
// values, some left out, some that do not belong; or no JSON at all.
func anyBody(op operation) *rapid.Generator[string] {
	fields := []string{"amount", "id", "holder", "overdraft", "reason", "from", "to", "account", "version"}
	values := []string{
		`"ann"`, `"bob"`, `"1"`, `"0.01"`, `"10.50"`, `"-5"`, `"0"`, `"999999999999999.99"`, `"1.234"`, `"1e9"`, `""`, `" "`, `"\u0000"`, `"<script>"`,
		`"` + strings.Repeat("x", 500) + `"`, `5`, `-1`, `1.5`, `9223372036854775808`, `null`, `true`, `[]`, `{}`, `{"bank":"YZ","account":"123"}`,
		`{"bank":"yz","account":"x"}`, `{"bank":null}`, `"\ud800"`, `"💰"`,
	}
	likely := map[string][]string{
		"amount": {`"1"`, `"0.01"`, `"10.50"`}, "id": {`"new"`}, "holder": {`"Ann"`}, "from": {`"ann"`, `"bob"`}, "to": {`"bob"`, `{"bank":"YZ","account":"123"}`},
		"reason": {`"why"`}, "account": {`"ann"`}, "version": {`1`}, "overdraft": {`"5"`},
	}
	return rapid.Custom(func(r *rapid.T) string {
		if broken := rapid.SampledFrom([]string{"", "", "", "", "", "", "", "{", "[]", "null", "\"\xff\"", strings.Repeat("[", 10_000), `{"amount":"` + strings.Repeat("9", 100_000) + `"}`}).Draw(r, "broken"); broken != "" {
			return broken
		}
		var body bytes.Buffer
		body.WriteByte('{')
		for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(append(fieldsOf(op), fields...)), 0, 4, rapid.ID[string]).Draw(r, "fields") {
			if body.Len() > 1 {
				body.WriteByte(',')
			}
			from := values
			if rapid.Bool().Draw(r, "likely") {
				from = likely[name]
			}
			fmt.Fprintf(&body, "%q:%s", name, rapid.SampledFrom(from).Draw(r, name))
		}
		body.WriteByte('}')
		return body.String()
	})
}

// fieldsOf returns the fields that an operation requires.
func fieldsOf(op operation) []string {
	switch op.OperationID {
	case "deposit", "withdraw":
		return []string{"amount", "amount", "amount"}
	case "transfer", "pay":
		return []string{"from", "to", "amount", "from", "to", "amount"}
	case "open-account":
		return []string{"id", "holder", "id", "holder"}
	case "freeze":
		return []string{"reason", "reason"}
	}
	return nil
}

// Every operation does what it is for: without this, a test with bad input could pass
// on a server that refuses everything.
func TestEveryEndpointTakesGoodInput(t *testing.T) {
	t.Parallel()
	s := serve(t, newSQLite(t))
	s.open(t, "ann", 1000_00)
	s.open(t, "bob", 1000_00)
	s.settle(t)
	tried := map[string]bool{}
	for _, c := range []struct {
		operation, method, path, body string
		status                        int
	}{
		{"list-accounts", "GET", "/api/accounts?search=ann&limit=5", "", 200},
		{"open-account", "POST", "/api/accounts", `{"id":"eve","holder":"Eve"}`, 201},
		{"get-account", "GET", "/api/accounts/ann", "", 200},
		{"get-statement", "GET", "/api/accounts/ann/statement?limit=1", "", 200},
		{"deposit", "POST", "/api/accounts/ann/deposit", `{"amount":"1"}`, 200},
		{"withdraw", "POST", "/api/accounts/ann/withdraw", `{"amount":"1"}`, 200},
		{"freeze", "POST", "/api/accounts/eve/freeze", `{"reason":"why"}`, 200},
		{"unfreeze", "POST", "/api/accounts/eve/unfreeze", "", 200},
		{"close", "POST", "/api/accounts/eve/close", "", 200},
		{"transfer", "POST", "/api/transfers", `{"from":"ann","to":"bob","amount":"1"}`, 201},
		{"pay", "POST", "/api/payments", `{"from":"ann","to":{"bank":"YZ","account":"1"},"amount":"1"}`, 202},
		{"list-payments", "GET", "/api/payments", "", 200},
		{"get-payment", "GET", "/api/payments/5f0c9d0e-2f5b-4d0e-8a6c-6c5f3c1f0b77", "", 404},
		{"get-books", "GET", "/api/books", "", 200},
		{"list-days", "GET", "/api/days?below=2100-01-01", "", 200},
		{"list-counterparties", "GET", "/api/counterparties", "", 200},
		{"get-reconciliation", "GET", "/api/reconciliation", "", 200},
		{"list-consumers", "GET", "/api/consumers", "", 200},
		{"rebuild", "POST", "/api/consumers/days/rebuild", "", 202},
		{"cancel-rebuild", "DELETE", "/api/consumers/counterparties/rebuild", "", 409},
		{"list-parked", "GET", "/api/consumers/days/parked", "", 200},
		{"redrive", "POST", "/api/consumers/days/redrive", `{}`, 202},
		{"discard", "POST", "/api/consumers/days/discard", `{"account":"ann","version":1,"reason":"why"}`, 404},
	} {
		s.must(t, c.status, c.method, c.path, c.body)
		tried[c.operation] = true
	}
	operations := s.operations(t)
	for _, op := range operations {
		if !tried[op.OperationID] {
			t.Errorf("%s is in the document and not here", op.OperationID)
		}
	}
}

func TestTheServerGuardsItself(t *testing.T) {
	t.Parallel()
	s := serve(t, newSQLite(t))
	s.open(t, "ann", 1000_00)
	s.settle(t)
	form := "Content-Type: application/x-www-form-urlencoded"
	for name, c := range map[string]struct {
		status             int
		method, path, body string
		headers            []string
	}{
		"a form of another site":     {403, "POST", "/accounts/ann/deposit", "amount=1", []string{form, "Sec-Fetch-Site: cross-site"}},
		"one of an old browser":      {403, "POST", "/accounts/ann/deposit", "amount=1", []string{form, "Origin: http://evil.example"}},
		"a script of another site":   {403, "POST", "/api/accounts/ann/deposit", `{"amount":"1"}`, []string{"Sec-Fetch-Site: same-site"}},
		"another name for the host":  {421, "GET", "/", "", []string{"Host: evil.example"}},
		"an own form":                {303, "POST", "/accounts/ann/deposit", "amount=1", []string{form, "Sec-Fetch-Site: same-origin"}},
		"a form without its amount":  {422, "POST", "/accounts/ann/deposit", "", []string{form}},
		"a form with too much":       {422, "POST", "/accounts/ann/withdraw", "amount=" + strings.Repeat("9", 100_000), []string{form}},
		"a body that is too large":   {413, "POST", "/api/transfers", `{"from":"` + strings.Repeat("x", 20_000) + `"}`, nil},
		"an unknown command":         {404, "POST", "/accounts/ann/plunder", "amount=1", []string{form}},
		"an unknown page":            {404, "GET", "/nowhere", "", nil},
		"a consumer that is not one": {404, "POST", "/operations/nothing/rebuild", "", []string{form}},
		"a process is not rebuilt":   {404, "POST", "/operations/clearing/rebuild", "", []string{form}},
		"nothing to give up":         {404, "POST", "/operations/days/discard", "account=ann&version=x&reason=why", []string{form}},
	} {
		a, err := s.call(t.Context(), c.method, c.path, c.body, c.headers...)
		if err != nil || a.status != c.status {
			t.Errorf("%s: %d, want %d: %.300s, %v", name, a.status, c.status, a.body, err)
		}
		policy := a.header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || a.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", name, a.header)
		}
	}
}

// A form that is sent twice lands once.
func TestAFormSentTwiceLandsOnce(t *testing.T) {
	t.Parallel()
	s := serve(t, newSQLite(t))
	s.open(t, "ann", 0)
	for range 2 {
		s.must(t, 303, "POST", "/accounts/ann/deposit", "amount=1&key=5f0c9d0e-2f5b-4d0e-8a6c-6c5f3c1f0b77", "Content-Type: application/x-www-form-urlencoded")
	}
	s.must(t, 422, "POST", "/accounts/ann/deposit", "amount=2&key=5f0c9d0e-2f5b-4d0e-8a6c-6c5f3c1f0b77", "Content-Type: application/x-www-form-urlencoded")
	s.settle(t)
	if a := s.must(t, 200, "GET", "/api/accounts/ann", ""); a.value(t, "balance") != "1.00" {
		t.Errorf("%s", a.body)
	}
}
