package deep_test

import (
	"bytes"
	"container/list"
	"errors"
	"math/big"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unique"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/peatlog/peat/internal/deep"
)

// mustCopy copies a value.
func mustCopy[T any](t interface {
	Helper()
	Fatal(...any)
}, v T,
) (to T) {
	t.Helper()
	c, err := deep.New(reflect.TypeFor[T]())
	if err == nil {
		err = c.Copy(reflect.ValueOf(&to), reflect.ValueOf(&v))
	}
	if err != nil {
		t.Fatal(err)
	}
	return to
}

type tree struct {
	Name     string
	secret   map[string][]int
	parent   *tree
	children []*tree
	at       time.Time
	byKey    map[[2]int]*tree
	pair     [2][]string
	any      any
	count    *int
}

func TestCopySharesNothing(t *testing.T) {
	t.Parallel()
	n := 1
	root := &tree{
		Name: "root", secret: map[string][]int{"a": {1, 2}}, at: time.Now(), pair: [2][]string{{"p"}, nil},
		any: map[string]any{"x": []any{1, "b"}}, count: &n,
	}
	root.children = []*tree{{Name: "child", parent: root}}
	root.byKey = map[[2]int]*tree{{1, 2}: root.children[0]}
	again := mustCopy(t, root)
	if d := deep.Difference(reflect.ValueOf(&root), reflect.ValueOf(&again)); d != "" {
		t.Fatalf("the copy differs in %s", d)
	}
	again.secret["a"][0], again.secret["b"], again.pair[0][0], *again.count = 7, nil, "q", 5
	again.children[0].Name = "changed"
	again.any.(map[string]any)["x"].([]any)[0] = 9
	if root.secret["a"][0] != 1 || len(root.secret) != 1 || root.children[0].Name != "child" || root.pair[0][0] != "p" || n != 1 ||
		root.any.(map[string]any)["x"].([]any)[0] != 1 {
		t.Errorf("the copy shares with the original: %+v", root)
	}
	// What two places share they share in the copy, too.
	if again.children[0].parent != again || again.byKey[[2]int{1, 2}] != again.children[0] || again.byKey[[2]int{1, 2}].Name != "changed" {
		t.Error("the copy has come apart")
	}
}

var errClosed = errors.New("closed")

// values have an identity that a pointer makes, or change in place only with a copy.
type values struct {
	Addr    netip.Addr
	Prefix  *netip.Prefix
	Handle  unique.Handle[string]
	Refusal error
	Zone    *time.Location
	Pattern *regexp.Regexp
	ID      uuid.UUID
	Link    *url.URL
	Price   func(int) int
	Total   big.Int
	Rate    *big.Rat
	Float   big.Float
	Header  http.Header
}

func TestValuesStayWhatTheyAre(t *testing.T) {
	t.Parallel()
	prefix := netip.MustParsePrefix("10.0.0.0/8")
	v := &values{
		Addr: netip.MustParseAddr("127.0.0.1"), Prefix: &prefix, Handle: unique.Make("t"), Refusal: errClosed, Zone: time.UTC,
		Pattern: regexp.MustCompile("a+"), ID: uuid.New(), Link: &url.URL{Scheme: "https", User: url.UserPassword("ann", "secret")},
		Price: func(n int) int { return 2 * n }, Total: *big.NewInt(7), Rate: big.NewRat(1, 3), Float: *big.NewFloat(1.5), Header: http.Header{"A": {"b"}},
	}
	c := mustCopy(t, v)
	if c.Addr != netip.MustParseAddr("127.0.0.1") || !c.Addr.IsLoopback() || *c.Prefix != prefix || c.Handle != unique.Make("t") || c.ID != v.ID {
		t.Errorf("values whose identity is a pointer have changed: %+v", c)
	}
	if !errors.Is(c.Refusal, errClosed) || c.Zone != time.UTC || c.Pattern != v.Pattern || c.Price(2) != 4 || c.Link.User.Username() != "ann" {
		t.Errorf("errors and what is behind pointers to values have changed: %+v", c)
	}
	// These change in place.
	c.Total.Add(&c.Total, big.NewInt(1))
	c.Total.SetBit(&c.Total, 0, 1)
	c.Rate.SetInt64(5)
	c.Float.SetInt64(9)
	c.Header["A"][0], c.Link.Scheme = "c", "http"
	if v.Total.Int64() != 7 || v.Rate.String() != "1/3" || v.Float.String() != "1.5" || v.Header.Get("A") != "b" || v.Link.Scheme != "https" {
		t.Errorf("the copy shares with the original: %v %v %v %v", &v.Total, v.Rate, &v.Float, v.Header)
	}
}

// counter copies itself in a way that shows.
type counter struct{ copies int }

func (c counter) Clone() counter { return counter{c.copies + 1} }

type shelf struct{ books map[string]int }

func (s *shelf) Clone() *shelf { return &shelf{map[string]int{"cloned": len(s.books)}} }

func TestCloneMethodsAreUsed(t *testing.T) {
	t.Parallel()
	type state struct {
		Counter  counter
		Counters []counter
		ByName   map[string]counter
		Pointer  *counter
		None     *counter
		Shelf    shelf
		Shelves  []*shelf
		Any      any
	}
	s := state{
		Counters: []counter{{1}}, ByName: map[string]counter{"a": {2}}, Pointer: &counter{3}, Shelf: shelf{map[string]int{"x": 1}},
		Shelves: []*shelf{{}, nil}, Any: counter{4},
	}
	c := mustCopy(t, s)
	if c.Counter.copies != 1 || c.Counters[0].copies != 2 || c.ByName["a"].copies != 3 || c.Pointer.copies != 4 || c.None != nil ||
		c.Shelf.books["cloned"] != 1 || len(c.Shelves[0].books) != 1 || c.Shelves[1] != nil || c.Any != (counter{5}) {
		t.Errorf("got %+v", c)
	}
}

func TestWhatCannotBeCopiedIsRefused(t *testing.T) {
	t.Parallel()
	for want, typ := range map[string]reflect.Type{
		".G is a chan int":                         reflect.TypeFor[*struct{ G chan int }](),
		".H is a sync.Mutex, which changes":        reflect.TypeFor[struct{ H sync.Mutex }](),
		".I is a list.List":                        reflect.TypeFor[struct{ I *list.List }](),
		".J is a bytes.Buffer":                     reflect.TypeFor[struct{ J []bytes.Buffer }](),
		".K is a strings.Builder":                  reflect.TypeFor[struct{ K map[string]strings.Builder }](),
		".L is a sync.Map":                         reflect.TypeFor[struct{ L *sync.Map }](),
		".M is a atomic.Int64":                     reflect.TypeFor[struct{ M atomic.Int64 }](),
		".Inner.Deep is a chan string":             reflect.TypeFor[struct{ Inner struct{ Deep chan string } }](),
		".S is a strings.Replacer, which changes":  reflect.TypeFor[struct{ S *strings.Replacer }](),
		".V is a rand.Zipf, which changes":         reflect.TypeFor[struct{ V *rand.Zipf }](),
		".U is a http.ServeMux, which holds a map": reflect.TypeFor[struct{ U http.ServeMux }](),
	} {
		if _, err := deep.New(typ); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got error %v, want %q in it", typ, err, want)
		}
	}
}

// shape is behind an interface with methods.
type shape interface{ area() int }

type square struct{ side int }

func (s square) area() int { return s.side * s.side }

// A pointer behind an interface may be a sentinel or an entity: nobody knows.
func TestPointerBehindAnInterfaceIsRefused(t *testing.T) {
	t.Parallel()
	type drawing struct {
		Shape  shape
		Shapes []shape
	}
	d := &drawing{Shape: square{2}, Shapes: []shape{square{3}, nil}}
	if c := mustCopy(t, d); c.Shape.area() != 4 || c.Shapes[0].area() != 9 || &c.Shapes[0] == &d.Shapes[0] {
		t.Errorf("got %+v", c)
	}
	if c, err := deep.New(reflect.TypeFor[*drawing]()); err != nil {
		t.Error(err)
	} else if err := c.Copy(reflect.ValueOf(new(*drawing)), reflect.ValueOf(new(&drawing{Shapes: []shape{&square{1}}}))); err == nil || !strings.Contains(err.Error(), "drawing.Shapes: *deep_test.square behind an interface") {
		t.Errorf("a pointer behind an interface: %v", err)
	}
	type state struct{ Any any }
	c, err := deep.New(reflect.TypeFor[state]())
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []any{&tree{}, []any{&tree{}}, map[string]any{"a": make(chan int)}, struct{ X *sync.Mutex }{}} {
		var to state
		if err := c.Copy(reflect.ValueOf(&to), reflect.ValueOf(&state{bad})); err == nil || !strings.Contains(err.Error(), "state.Any") {
			t.Errorf("%T: got error %v", bad, err)
		}
	}
	for _, good := range []any{nil, 1, "a", []string{"a"}, map[string]any{"a": []any{1}}, big.NewInt(3), errClosed, time.UTC, netip.Addr{}, tree{}} {
		var to state
		if err := c.Copy(reflect.ValueOf(&to), reflect.ValueOf(&state{good})); err != nil {
			t.Errorf("%T: %v", good, err)
		}
	}
}

// graph is a state of every kind, whose pointers, maps and slices may be shared.
type graph struct {
	Name  string
	next  *graph
	list  []*graph
	byKey map[string]*graph
	ints  []int
	table map[int][]int
	any   any
}

func drawGraph(t *rapid.T) *graph {
	nodes := make([]*graph, rapid.IntRange(1, 6).Draw(t, "nodes"))
	for i := range nodes {
		nodes[i] = &graph{Name: rapid.StringN(0, 3, -1).Draw(t, "name")}
	}
	one := rapid.SampledFrom(append([]*graph{nil}, nodes...))
	shared := []int{1, 2, 3}
	for _, n := range nodes {
		n.next = one.Draw(t, "next")
		n.list = rapid.SliceOfN(one, 0, 3).Draw(t, "list")
		n.byKey = rapid.MapOfN(rapid.StringN(0, 2, -1), one, 0, 3).Draw(t, "by key")
		if n.ints = shared; rapid.Bool().Draw(t, "own ints") {
			n.ints = rapid.SliceOfN(rapid.Int(), 0, 3).Draw(t, "ints")
		}
		n.table = rapid.MapOfN(rapid.IntRange(0, 3), rapid.SliceOfN(rapid.Int(), 0, 2), 0, 2).Draw(t, "table")
		if rapid.Bool().Draw(t, "any") {
			n.any = map[string]any{"a": n.ints, "b": rapid.Int().Draw(t, "in any")}
		}
	}
	return nodes[0]
}

// nodes are all that a graph leads to.
func (g *graph) nodes(seen map[*graph]bool) {
	if g == nil || seen[g] {
		return
	}
	seen[g] = true
	g.next.nodes(seen)
	for _, n := range g.list {
		n.nodes(seen)
	}
	for _, n := range g.byKey {
		n.nodes(seen)
	}
}

// scribble changes everything that can be changed in place.
func (g *graph) scribble() {
	seen := map[*graph]bool{}
	g.nodes(seen)
	for n := range seen {
		n.Name += "!"
		for i := range n.ints {
			n.ints[i]++
		}
		for _, row := range n.table {
			for i := range row {
				row[i]--
			}
		}
		if m, ok := n.any.(map[string]any); ok {
			m["new"] = 1
		}
		for k := range n.byKey {
			n.byKey[k] = nil
		}
		for i := range n.list {
			n.list[i] = nil
		}
		n.table, n.next = nil, nil
	}
}

func TestCopyOfAnyGraphIsLikeItAndItsOwn(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		g := drawGraph(t)
		first, second := mustCopy(t, g), mustCopy(t, g)
		if d := deep.Difference(reflect.ValueOf(&g), reflect.ValueOf(&first)); d != "" {
			t.Fatalf("the copy differs in %s", d)
		}
		first.scribble()
		if d := deep.Difference(reflect.ValueOf(&g), reflect.ValueOf(&second)); d != "" {
			t.Fatalf("a change of the one copy shows in the other, or in the original: %s", d)
		}
		g.scribble()
		if d := deep.Difference(reflect.ValueOf(&g), reflect.ValueOf(&first)); d != "" {
			t.Fatalf("the same changes make another state: %s", d)
		}
	})
}

// A pointer into something else that is copied would come apart from it, and is refused.
func TestPointersIntoOtherValues(t *testing.T) {
	t.Parallel()
	type item struct{ N int }
	type board struct {
		Items []item
		Cur   *item
		Own   item
	}
	of := func(change func(*board)) *board {
		b := &board{Items: []item{{1}, {2}}, Cur: new(item)}
		change(b)
		return b
	}
	c, err := deep.New(reflect.TypeFor[*board]())
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*board{
		"first": of(func(b *board) { b.Cur = &b.Items[0] }), "last": of(func(b *board) { b.Cur = &b.Items[1] }), "field": of(func(b *board) { b.Cur = &b.Own }),
	} {
		var to *board
		if err := c.Copy(reflect.ValueOf(&to), reflect.ValueOf(&b)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	var to *board
	b := of(func(*board) {})
	if err := c.Copy(reflect.ValueOf(&to), reflect.ValueOf(&b)); err != nil || to.Cur == b.Cur {
		t.Errorf("a pointer of its own: %v", err)
	}
}
