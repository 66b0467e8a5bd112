package ledger_test
import ("testing";"time";"github.com/peatlog/peat/examples/bank/account";"github.com/peatlog/peat/examples/bank/ledger";"os";"strconv")
func TestProf(t *testing.T){
 w,_:=strconv.Atoi(os.Getenv("W"))
 store := newStore(t)
 repo := account.NewRepository(store)
 for range 2 {
 b:=time.Now()
 got, err := ledger.Import(t.Context(), repo, shipped(t), ledger.Options{Workers: w})
 t.Log(got,err,time.Since(b))
 }
}
