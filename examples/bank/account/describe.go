package account

// Describe says in words what happened.
func Describe(e Event) string {
	switch e := e.(type) {
	case Opened:
		return "opened"
	case Closed:
		return "closed"
	case Frozen:
		return "frozen: " + e.Reason
	case Unfrozen:
		return "unfrozen"
	case Deposited:
		return "deposit"
	case Withdrawn:
		return "withdrawal"
	case TransferSent:
		return "transfer to account " + e.To
	case TransferReceived:
		return "transfer from account " + e.From
	case PaymentStep:
		return describePayment(e)
	case Posting:
		return describePosting(e)
	default:
		return e.EventType() // of a newer program
	}
}

func describePayment(e PaymentStep) string {
	switch e := e.(type) {
	case PaymentRequested:
		return "payment to " + e.To.String() + " requested"
	case PaymentSettled:
		return "payment settled"
	case PaymentRejected:
		return "payment rejected: " + e.Reason
	case PaymentRefunded:
		return "payment refunded"
	default:
		return e.EventType()
	}
}

func describePosting(e Posting) string {
	switch e := e.(type) {
	case CashDeposited:
		return "cash deposit"
	case CashWithdrawn:
		return "cash withdrawal" + e.Purpose.inBrackets()
	case CardWithdrawn:
		return "card withdrawal"
	case PaymentReceived:
		return "payment from " + e.From.String() + e.Purpose.inBrackets()
	case PaymentSent:
		return "payment to " + e.To.String() + e.Purpose.inBrackets()
	case InterestCredited:
		return "interest"
	case PenaltyInterestCharged:
		return "penalty interest"
	case StatementFeeCharged:
		return "statement fee"
	default:
		return e.EventType()
	}
}

// String prints the party as "62457513/YZ", as it is printed on Czech statements.
func (p Party) String() string { return p.Account + "/" + p.Bank }

func (p Purpose) inBrackets() string {
	if p == "" {
		return ""
	}
	return " (" + string(p) + ")"
}
