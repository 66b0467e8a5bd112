package web

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/peatlog/peat/examples/bank/money"
	"github.com/peatlog/peat/examples/bank/service"
)

//go:embed static
var static embed.FS

//go:embed templates
var templateFiles embed.FS

// pages are the templates by name, each within the layout. One that does not parse
// is a fault of the program, which then does not start.
var pages = func() map[string]*template.Template {
	all := map[string]*template.Template{}
	for _, name := range []string{"overview", "account", "transfer", "payments", "reports", "live", "operations", "error"} {
		all[name] = template.Must(template.New("layout.html").Funcs(functions).
			ParseFS(templateFiles, "templates/layout.html", "templates/"+name+".html"))
	}
	return all
}()

var functions = template.FuncMap{
	"money":   money.Amount.Grouped,
	"signed":  signed,
	"count":   count,
	"clock":   func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
	"percent": func(part float64) string { return strconv.Itoa(int(part*100)) + " %" },
	"seconds": func(d time.Duration) string { return d.Round(100 * time.Millisecond).String() },
}

// signed prints an amount with the sign that movements carry.
func signed(a money.Amount) string {
	if a > 0 {
		return "+" + a.Grouped()
	}
	return a.Grouped()
}

// count prints a number in groups of three digits.
func count(n any) (string, error) {
	number, err := strconv.ParseInt(fmt.Sprint(n), 10, 64)
	grouped := money.Amount(number * 100).Grouped()
	return grouped[:len(grouped)-len(".00")], err
}

// frame is what every page has.
type frame struct {
	Title string
	// Section is the place in the navigation.
	Section string
	// Events is the stream that keeps the page up to date, "" for none.
	Events string
	// Notice says what was done, Problem what went wrong.
	Notice, Problem string
	// Behind tells that the page does not show yet what was done.
	Behind bool
	// Key makes what a form asks for land once.
	Key string
}

// render writes a page.
func (s *server) render(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	var text bytes.Buffer
	if err := pages[name].Execute(&text, data); err != nil {
		s.log.ErrorContext(r.Context(), "a page could not be rendered", "page", name, "error", err)
		http.Error(w, "something went wrong inside", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = text.WriteTo(w) // who does not wait for the page needs none
}

// fail shows an error as a page of its own.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, text := s.explain(r.Context(), err)
	s.render(w, r, status, "error", frame{Title: http.StatusText(status), Problem: text})
}

// explain returns what to tell the user of an error, and logs what only the operator
// can do something about.
func (s *server) explain(ctx context.Context, err error) (status int, text string) {
	p, known := service.ProblemOf(err)
	if !known && !errors.Is(err, context.Canceled) {
		s.log.ErrorContext(ctx, "a request failed", "error", err)
	}
	return p.Status, p.Detail
}

// done are the notices of what was done, by their names in an address: what an
// address says is never shown itself.
var done = map[string]string{
	"open": "The account is open.", "deposit": "The deposit is booked.", "withdraw": "The withdrawal is booked.",
	"freeze": "The account is frozen.", "unfreeze": "The account is no longer frozen.", "close": "The account is closed.",
	"transfer": "The transfer is booked.", "pay": "The payment is requested.",
	"rebuild": "The rebuild has begun.", "cancel": "The rebuild is given up.",
	"redrive": "The events are being delivered again.", "discard": "The event is given up.",
}

// newFrame begins a page, when the read models that it shows have come as far as the
// address says.
func (s *server) newFrame(r *http.Request, title, section string, consumers ...string) frame {
	f := frame{Title: title, Section: section, Notice: done[r.URL.Query().Get("done")], Key: uuid.NewString()}
	at, err := strconv.ParseInt(r.URL.Query().Get("position"), 10, 64)
	if err != nil {
		return f
	}
	ctx, cancel := context.WithTimeout(r.Context(), waiting)
	defer cancel()
	if err := s.bank.Wait(ctx, at, consumers...); err != nil {
		f.Behind = true
	}
	return f
}

// waiting is how long a page waits to show what was done.
const waiting = 3 * time.Second

// to sends the browser to a page that shows what a command has done.
func to(w http.ResponseWriter, r *http.Request, path, what string, receipt service.Receipt) {
	query := url.Values{"done": {what}}
	if receipt.Position > 0 {
		query.Set("position", strconv.FormatInt(receipt.Position, 10))
	}
	http.Redirect(w, r, path+"?"+query.Encode(), http.StatusSeeOther)
}

// command returns the command that a form asks for.
func command(r *http.Request, request string) service.Command {
	key := r.PostFormValue("key")
	if uuid.Validate(key) != nil {
		key = "" // not one of ours, so nothing to recognise
	}
	version, _ := strconv.ParseInt(r.PostFormValue("version"), 10, 64) // 0 for none
	return service.Command{Key: key, Request: request, Actor: "clerk", IfVersion: version}
}
