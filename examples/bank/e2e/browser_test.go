//go:build unix

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

const (
	// browserEnv names a browser to use, skipEnv says that there is none.
	browserEnv, skipEnv = "PEAT_TEST_BROWSER", "PEAT_TEST_NO_BROWSER"
	// skippedEnv names a file for the names of the tests that are skipped, which make
	// test counts.
	skippedEnv = "PEAT_TEST_SKIPPED"
	howTo      = "the pages are tested in a real browser: install Chromium (Debian: apt-get install chromium), " +
		"or run make test, which installs it where it may, or name one in " + browserEnv + ", or set " + skipEnv + "=1 to do without these tests"
)

// findBrowser returns the browser of this machine.
func findBrowser() (string, error) {
	names := []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"}
	if named := os.Getenv(browserEnv); named != "" {
		names = []string{named}
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no browser found: %s", howTo)
}

// browser is the one browser of all tests: starting one takes seconds. Its folder
// goes when TestMain ends it.
var browser = sync.OnceValues(func() (context.Context, error) {
	path, err := findBrowser()
	if err != nil {
		return nil, err
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(path), chromedp.WSURLReadTimeout(inTime),
		chromedp.Flag("no-sandbox", true)) // which root and most containers have none of; the pages are our own
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancelTab := chromedp.NewContext(allocator)
	endBrowser = func() { cancelTab(); cancel() }
	return ctx, chromedp.Do(ctx) // which starts it
})

var endBrowser = func() {}

// tab is a tab of the browser.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu     sync.Mutex
	faults []string // that the browser has reported
}

// newTab opens a tab, in a window of its own with nothing remembered.
func newTab(t *testing.T, width, height int64) *tab {
	t.Helper()
	if os.Getenv(skipEnv) != "" && os.Getenv("CI") != "true" { // which has to have one
		skip(t)
	}
	parent, err := browser()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := chromedp.NewContext(parent, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.EmulateViewport(width, height))
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, fault := range b.faults {
			t.Errorf("the browser reports: %s", fault)
		}
	})
	return b
}

// skip skips a test, and has it counted.
func skip(t *testing.T) {
	t.Helper()
	if name := os.Getenv(skippedEnv); name != "" {
		file, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
		if err == nil {
			_, err = fmt.Fprintln(file, t.Name())
			err = errors.Join(err, file.Close())
		}
		if err != nil {
			t.Fatalf("%s: %v", skippedEnv, err)
		}
	}
	t.Skipf("NOT TESTED in a browser, because %s is set", skipEnv)
}

// listen collects what scripts throw and what the policy of the pages forbids.
func (b *tab) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.faults = append(b.faults, e.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		// A page that refuses a form has a status of 400 and above, which is no fault.
		if e.Entry.Level == log.EntryLevelError && e.Entry.Source != log.EntrySourceNetwork {
			b.faults = append(b.faults, e.Entry.Text)
		}
	}
}

// do does something in the tab.
func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, inTime)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// ask evaluates an expression in the page.
func ask[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, inTime)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// visit opens a page and waits until it listens to events, if it does.
func (b *tab) visit(url string) {
	b.t.Helper()
	b.do(chromedp.Navigate(url))
	b.await("the page is ready", `document.readyState === "complete" && (document.body.dataset.events === "" || document.body.dataset.connected === "true")`)
}

// await waits until an expression is true in the page.
func (b *tab) await(what, expression string) {
	b.t.Helper()
	until(b.t, what, func() (bool, error) { return chromedp.Run(b.ctx, chromedp.Evaluate[bool](expression)) })
}

// awaitText waits until an element says something.
func (b *tab) awaitText(selector, want string) {
	b.t.Helper()
	b.await(fmt.Sprintf("%s says %q", selector, want),
		fmt.Sprintf("(document.querySelector(%q)?.innerText ?? '').includes(%q)", selector, want))
}

// fill types into the fields of a form and sends it with one of its buttons.
func (b *tab) fill(form string, fields map[string]string, button string) {
	b.t.Helper()
	for name, value := range fields {
		field := form + " [name=" + name + "]"
		b.do(chromedp.WaitVisible(chromedp.CSS(field)))
		ask[bool](b, fmt.Sprintf("document.querySelector(%q).value = '', true", field))
		b.do(chromedp.SendKeys(chromedp.CSS(field), value))
	}
	b.do(chromedp.Click(chromedp.CSS(form + " " + button)))
}

// click clicks on a part of the page that replaces itself as events come: in one step, for
// what was found could be replaced before it is clicked.
func (b *tab) click(selector string) {
	b.t.Helper()
	b.await("there is "+selector, fmt.Sprintf("(e => e !== null && e.checkVisibility() && (e.click(), true))(document.querySelector(%q))", selector))
}

// mark leaves a mark that the next page would not have.
func (b *tab) mark() { b.t.Helper(); ask[bool](b, "window.marked = true") }

// sameDocument fails unless the page is still the one that was marked.
func (b *tab) sameDocument() {
	b.t.Helper()
	if !ask[bool](b, "window.marked === true") {
		b.t.Error("the page was loaded again")
	}
}
