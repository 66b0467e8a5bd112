package ledger

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/peatlog/peat/examples/bank/account"
	"github.com/peatlog/peat/examples/bank/money"
)

// kind is what the columns type, operation and k_symbol say together.
type kind struct{ typ, operation, symbol string }

// maker turns the columns that are left into the event of a kind.
type maker func(account.Entry, account.Party) account.Posting

// kinds are the kinds of rows that the bank writes. PRIJEM is a credit, VYDAJ and
// VYBER are debits; anything else than these is a malformed line, because
// guessing would cost somebody money.
var kinds = map[kind]maker{
	{"PRIJEM", "VKLAD", ""}:               cashDeposited,
	{"PRIJEM", "PREVOD Z UCTU", ""}:       paymentReceived(""),
	{"PRIJEM", "PREVOD Z UCTU", "DUCHOD"}: paymentReceived(account.Pension),
	{"PRIJEM", "", "UROK"}:                interestCredited,

	{"VYBER", "VYBER", ""}:                  cashWithdrawn(""),
	{"VYDAJ", "VYBER", ""}:                  cashWithdrawn(""),
	{"VYDAJ", "VYBER", "SIPO"}:              cashWithdrawn(account.Household),
	{"VYDAJ", "VYBER KARTOU", ""}:           cardWithdrawn,
	{"VYDAJ", "PREVOD NA UCET", ""}:         paymentSent(""),
	{"VYDAJ", "PREVOD NA UCET", "SIPO"}:     paymentSent(account.Household),
	{"VYDAJ", "PREVOD NA UCET", "POJISTNE"}: paymentSent(account.Insurance),
	{"VYDAJ", "PREVOD NA UCET", "UVER"}:     paymentSent(account.Loan),
	{"VYDAJ", "VYBER", "SANKC. UROK"}:       penaltyInterestCharged,
	{"VYDAJ", "VYBER", "SLUZBY"}:            statementFeeCharged,
}

func cashDeposited(e account.Entry, _ account.Party) account.Posting {
	return account.CashDeposited{Entry: e}
}

func cardWithdrawn(e account.Entry, _ account.Party) account.Posting {
	return account.CardWithdrawn{Entry: e}
}

func interestCredited(e account.Entry, _ account.Party) account.Posting {
	return account.InterestCredited{Entry: e}
}

func penaltyInterestCharged(e account.Entry, _ account.Party) account.Posting {
	return account.PenaltyInterestCharged{Entry: e}
}

func statementFeeCharged(e account.Entry, _ account.Party) account.Posting {
	return account.StatementFeeCharged{Entry: e}
}

func cashWithdrawn(p account.Purpose) maker {
	return func(e account.Entry, _ account.Party) account.Posting {
		return account.CashWithdrawn{Entry: e, Purpose: p}
	}
}

func paymentReceived(p account.Purpose) maker {
	return func(e account.Entry, from account.Party) account.Posting {
		return account.PaymentReceived{Entry: e, From: from, Purpose: p}
	}
}

func paymentSent(p account.Purpose) maker {
	return func(e account.Entry, to account.Party) account.Posting {
		return account.PaymentSent{Entry: e, To: to, Purpose: p}
	}
}

// parseRow reads the columns of a line, in the order of the header.
func parseRow(f [10]string) (number string, p account.Posting, err error) {
	k := kind{typ: f[3], operation: f[4], symbol: strings.TrimSpace(f[7])}
	post, ok := kinds[k]
	if !ok {
		return "", nil, fmt.Errorf("unknown kind of transaction: type %q, operation %q, k_symbol %q", f[3], f[4], f[7])
	}
	party, err := parseParty(k, f[8], f[9])
	if err != nil {
		return "", nil, err
	}
	if _, err := parseNumber("account_id", f[1]); err != nil {
		return "", nil, err
	}
	entry, err := parseEntry(f)
	if err != nil {
		return "", nil, err
	}
	return f[1], post(entry, party), nil
}

func parseEntry(f [10]string) (e account.Entry, err error) {
	if e.Transaction, err = parseNumber("trans_id", f[0]); err != nil {
		return e, err
	}
	day, err := time.Parse("060102", f[2])
	if err != nil {
		return e, fmt.Errorf("date: %q is not a date of the form yymmdd", f[2])
	}
	e.Date = account.DateOf(day)
	if e.Amount, err = money.Parse(f[5]); err != nil {
		return e, fmt.Errorf("amount: %w", err)
	}
	if e.Amount < 0 {
		return e, fmt.Errorf("amount: %v is negative; type says which way it goes", e.Amount)
	}
	if e.Printed, err = money.Parse(f[6]); err != nil {
		return e, fmt.Errorf("balance: %w", err)
	}
	return e, nil
}

// parseParty reads the other side of a payment. Other kinds have none, which the
// bank writes as nothing or as account 0.
func parseParty(k kind, bank, number string) (account.Party, error) {
	isPayment := strings.HasPrefix(k.operation, "PREVOD")
	has := bank != "" && number != ""
	hasNone := bank == "" && (number == "" || number == "0")
	switch {
	case isPayment && !has:
		return account.Party{}, errors.New("a payment without the partner's bank and account")
	case !isPayment && !hasNone:
		return account.Party{}, fmt.Errorf("a partner, bank %q account %q, where none belongs", bank, number)
	case hasNone:
		return account.Party{}, nil
	}
	return account.Party{Bank: bank, Account: number}, nil
}

// parseNumber reads an id. It must be in its one true form, because two
// spellings of an id would be two accounts.
func parseNumber(column, s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 0 || strconv.FormatInt(n, 10) != s {
		return 0, fmt.Errorf("%s: %q is not a positive whole number", column, s)
	}
	return n, nil
}
