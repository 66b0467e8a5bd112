package money_test

import (
	"fmt"

	"github.com/peatlog/peat/examples/bank/money"
)

func Example() {
	price, err := money.Parse("1234.5")
	fmt.Println(price, err)
	sum, err := price.Add(5)
	fmt.Println(sum, int64(sum), err)
	_, err = money.Parse("1.234")
	fmt.Println(err)
	// Output:
	// 1234.50 <nil>
	// 1234.55 123455 <nil>
	// "1.234" is not an amount: want digits with at most two decimals, such as 1234.56
}
