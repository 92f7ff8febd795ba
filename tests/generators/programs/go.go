package main

import (
	"client"
	"context"
	"fmt"
	"os"
)

func main() {
	// The address is that of the document.
	tokens := client.NewAPIClient(client.NewConfiguration()).TokensAPI
	caller := context.WithValue(context.Background(), client.ContextAccessToken, os.Args[2])
	order := client.NewCreateToken("go")
	order.SetOrganization("default")
	order.SetOwner(client.OWNER_ORGANIZATION)
	created, _, err := tokens.CreateToken(caller).CreateToken(*order).Execute()
	if err != nil {
		panic(err)
	}
	number := created.TokenInfo.Id
	listed := func() (status client.TokenStatus) {
		page, _, err := tokens.ListTokens(caller).Q("go").Execute()
		if err != nil {
			panic(err)
		}
		var items []client.TokenInfo = page.Items
		for _, token := range items {
			if token.Id == number {
				status = token.Status
			}
		}
		return status
	}
	fmt.Println(listed() == client.TOKENSTATUS_ACTIVE)
	if _, _, err := tokens.RevokeToken(caller, number).Execute(); err != nil {
		panic(err)
	}
	fmt.Println(listed() == "")
}
