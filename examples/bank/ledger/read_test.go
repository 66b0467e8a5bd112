package ledger_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/ledger"
	"github.com/peatlog/peat/examples/bank/money"
)

const header = `"trans_id";"account_id";"date";"type";"operation";"amount";"balance";"k_symbol";"bank";"account"` + "\n"

// sample has a row of every kind that occurs, in the bank's own spelling.
const sample = header + `695247;2378;930101;"PRIJEM";"VKLAD";700.00;700.00;"";;
3591421;1844;930131;"PRIJEM";"";12.60;3754.60;"UROK";;
637742;2177;930105;"PRIJEM";"PREVOD Z UCTU";5123.00;5923.00;"DUCHOD";"YZ";"62457513"
233109;793;930507;"VYDAJ";"PREVOD NA UCET";204.00;17668.70;" ";"OP";"25394970"
527534;1801;930712;"VYDAJ";"PREVOD NA UCET";4610.00;43431.90;"UVER";"OP";"33671474"
144848;485;930307;"VYDAJ";"PREVOD NA UCET";3572.00;46380.90;"POJISTNE";"AB";"20747721"
695340;2378;930207;"VYDAJ";"PREVOD NA UCET";9612.00;80033.70;"SIPO";"EF";"1222903"
1450116;4937;930424;"VYDAJ";"VYBER";5400.00;45384.20;"";;"0"
989796;3374;930510;"VYDAJ";"VYBER";4700.00;85244.10;"SIPO";;"0"
144918;485;930326;"VYBER";"VYBER";5166.00;88602.90;"";;
1;2;930326;"VYDAJ";"VYBER KARTOU";100.00;0.00;"";;
695490;2378;930228;"VYDAJ";"VYBER";14.60;71437.80;"SLUZBY";;
3449868;4034;930630;"VYDAJ";"VYBER";3.00;-2909.60;"SANKC. UROK";;
`

func entry(transaction int64, date account.Date, amount, printed money.Amount) account.Entry {
	return account.Entry{Transaction: transaction, Date: date, Amount: amount, Printed: printed}
}

func TestEveryKindOfRowBecomesItsEvent(t *testing.T) {
	t.Parallel()
	party := func(bank, number string) account.Party { return account.Party{Bank: bank, Account: number} }
	want := []account.Posting{
		account.CashDeposited{Entry: entry(695247, "1993-01-01", 70000, 70000)},
		account.InterestCredited{Entry: entry(3591421, "1993-01-31", 1260, 375460)},
		account.PaymentReceived{Entry: entry(637742, "1993-01-05", 512300, 592300), From: party("YZ", "62457513"), Purpose: account.Pension},
		account.PaymentSent{Entry: entry(233109, "1993-05-07", 20400, 1766870), To: party("OP", "25394970")},
		account.PaymentSent{Entry: entry(527534, "1993-07-12", 461000, 4343190), To: party("OP", "33671474"), Purpose: account.Loan},
		account.PaymentSent{Entry: entry(144848, "1993-03-07", 357200, 4638090), To: party("AB", "20747721"), Purpose: account.Insurance},
		account.PaymentSent{Entry: entry(695340, "1993-02-07", 961200, 8003370), To: party("EF", "1222903"), Purpose: account.Household},
		account.CashWithdrawn{Entry: entry(1450116, "1993-04-24", 540000, 4538420)},
		account.CashWithdrawn{Entry: entry(989796, "1993-05-10", 470000, 8524410), Purpose: account.Household},
		account.CashWithdrawn{Entry: entry(144918, "1993-03-26", 516600, 8860290)},
		account.CardWithdrawn{Entry: entry(1, "1993-03-26", 10000, 0)},
		account.StatementFeeCharged{Entry: entry(695490, "1993-02-28", 1460, 7143780)},
		account.PenaltyInterestCharged{Entry: entry(3449868, "1993-06-30", 300, -290960)},
	}
	numbers := strings.Fields("2378 1844 2177 793 1801 485 2378 4937 3374 485 2 2378 4034")
	for name, file := range map[string]io.Reader{
		"plain": strings.NewReader(sample), "gzipped": gzipped(sample),
		"CRLF": strings.NewReader(strings.ReplaceAll(sample, "\n", "\r\n")),
	} {
		i := 0
		for row, err := range ledger.Read("sample", file) {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			wanted := ledger.Row{File: "sample", Line: i + 2, Account: numbers[i], Posting: want[i]}
			if diff := cmp.Diff(wanted, row); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
			i++
		}
		if i != len(want) {
			t.Errorf("%s: %d rows, want %d", name, i, len(want))
		}
	}
}

func TestAMalformedLineIsNamedWithItsReason(t *testing.T) {
	t.Parallel()
	const good = `1;2;930101;"PRIJEM";"VKLAD";700.00;700.00;"";;` + "\n"
	for text, want := range map[string]string{
		"":                      "f.csv:1: the file is empty",
		"a;b\n":                 "f.csv:1: not a statement: the first line must be trans_id;account_id;date;",
		good:                    "f.csv:1: not a statement",
		header + good + "1;2\n": "f.csv:3: 2 fields, want 10",
		header + good + `1;2;930101;"PRIJEM` + "\n" + good:                    `f.csv:3: extraneous or missing " in quoted-field`,
		header + "\n\n" + `1;2;930101;x"y;;1;1;;;` + "\n":                     `f.csv:4: bare " in non-quoted-field`,
		header + `x;2;930101;PRIJEM;VKLAD;700.00;700.00;;;`:                   `f.csv:2: trans_id: "x" is not a positive whole number`,
		header + `-1;2;930101;PRIJEM;VKLAD;700.00;700.00;;;`:                  `f.csv:2: trans_id: "-1" is not a positive whole number`,
		header + `1;;930101;PRIJEM;VKLAD;700.00;700.00;;;`:                    `f.csv:2: account_id: "" is not a positive whole number`,
		header + `1;02;930101;PRIJEM;VKLAD;700.00;700.00;;;`:                  `f.csv:2: account_id: "02" is not a positive whole number`,
		header + `1;99999999999999999999;930101;PRIJEM;VKLAD;1;1;;;`:          `f.csv:2: account_id: "99999999999999999999" is not`,
		header + `1;2;930230;PRIJEM;VKLAD;700.00;700.00;;;`:                   `f.csv:2: date: "930230" is not a date of the form yymmdd`,
		header + `1;2;19930101;PRIJEM;VKLAD;700.00;700.00;;;`:                 `f.csv:2: date: "19930101" is not a date`,
		header + `1;2;930101;PRIJEM;VKLAD;;700.00;;;`:                         `f.csv:2: amount: "" is not an amount`,
		header + `1;2;930101;PRIJEM;VKLAD;7.005;700.00;;;`:                    `f.csv:2: amount: "7.005" is not an amount: want digits with at most two decimals`,
		header + `1;2;930101;PRIJEM;VKLAD;-7.00;700.00;;;`:                    `f.csv:2: amount: -7.00 is negative`,
		header + `1;2;930101;PRIJEM;VKLAD;99999999999999999999;1;;;`:          `f.csv:2: amount: "99999999999999999999": amount out of range`,
		header + `1;2;930101;PRIJEM;VKLAD;7.00;abc;;;`:                        `f.csv:2: balance: "abc" is not an amount`,
		header + `1;2;930101;CREDIT;VKLAD;7.00;7.00;;;`:                       `f.csv:2: unknown kind of transaction: type "CREDIT", operation "VKLAD", k_symbol ""`,
		header + `1;2;930101;PRIJEM;VKLAD;7.00;7.00;UROK;;`:                   `f.csv:2: unknown kind of transaction: type "PRIJEM", operation "VKLAD", k_symbol "UROK"`,
		header + `1;2;930101;PRIJEM;VKLAD;7.00;7.00;;AB;12`:                   `f.csv:2: a partner, bank "AB" account "12", where none belongs`,
		header + `1;2;930101;VYDAJ;PREVOD NA UCET;7.00;7.00;;AB;`:             `f.csv:2: a payment without the partner's bank and account`,
		header + `1;2;930101;PRIJEM;PREVOD Z UCTU;7.00;7.00;DUCHOD;;62457513`: `f.csv:2: a payment without the partner's bank and account`,
	} {
		rows, err := drain(strings.NewReader(text))
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
		if located, ok := errors.AsType[*ledger.LineError](err); !ok || located.File != "f.csv" {
			t.Errorf("%q: %v is not a LineError of the file", text, err)
		}
		if strings.HasPrefix(text, header+good) && rows != 1 {
			t.Errorf("%q: %d rows before the error, want 1", text, rows)
		}
	}
}

func TestADamagedFileIsNamedWithTheLine(t *testing.T) {
	t.Parallel()
	whole := gzipped(sample).Bytes()
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"cut in the header": {whole[:5], "f.csv:1: the file ends in the middle"},
		"cut at the end":    {whole[:len(whole)-4], "f.csv:15: the file ends in the middle"},
		"wrong checksum":    {append(whole[:len(whole)-8:len(whole)-8], make([]byte, 8)...), "f.csv:15: gzip: invalid checksum"},
	} {
		if _, err := drain(bytes.NewReader(c.data)); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}

func TestReadingMayStopAnywhere(t *testing.T) {
	t.Parallel()
	for row, err := range ledger.Read("sample", strings.NewReader(sample)) {
		if err != nil || row.Line != 2 {
			t.Errorf("row %+v, %v", row, err)
		}
		break
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(sample))
	f.Add(gzipped(sample).Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		failed := false
		for row, err := range ledger.Read("f.csv", bytes.NewReader(data)) {
			_, located := errors.AsType[*ledger.LineError](err)
			switch {
			case failed:
				t.Fatal("something follows an error")
			case err != nil && !located:
				t.Fatalf("%v has no line", err)
			case err == nil && (row.Posting == nil || row.Account == ""):
				t.Fatalf("half a row: %+v", row)
			}
			failed = err != nil
		}
	})
}

// drain reads to the end and returns the number of rows and the error.
func drain(file io.Reader) (rows int, err error) {
	for _, err := range ledger.Read("f.csv", file) {
		if err != nil {
			return rows, err
		}
		rows++
	}
	return rows, nil
}

func gzipped(text string) *bytes.Buffer {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return &b
}
