// Calls every operation of go-tfe on organizations, teams and their tokens, and prints the results. It
// fails at the first operation that fails.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	tfe "github.com/hashicorp/go-tfe"
)

var ctx = context.Background()

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func demand(holds bool, what string) {
	if !holds {
		panic(what)
	}
}

func client(token string) *tfe.Client {
	client, err := tfe.NewClient(&tfe.Config{Address: os.Getenv("ADDRESS"), Token: token})
	must(err)
	return client
}

// Returns the user that a token acts for, or "unauthorized".
func account(token string) string {
	user, err := client(token).Users.ReadCurrent(ctx)
	if err == tfe.ErrUnauthorized {
		return err.Error()
	}
	must(err)
	demand(user.IsServiceAccount == (user.Email == ""), "a service account has no address, and nobody else")
	return user.Username
}

func main() {
	said := map[string]interface{}{}
	own := client(os.Getenv("TOKEN"))
	said["account"] = account(os.Getenv("TOKEN"))
	said["nobody"] = account("no token at all")

	made, err := own.Organizations.Create(ctx, tfe.OrganizationCreateOptions{
		Name: tfe.String("Acme"), Email: tfe.String("ops@acme.example")})
	must(err)
	demand(made.Name == "Acme" && made.Email == "ops@acme.example", "the organization is what was ordered")
	demand(!made.CreatedAt.IsZero() && made.Permissions.CanDestroy && made.Permissions.CanCreateTeam, "its admin may")
	_, err = own.Organizations.Create(ctx, tfe.OrganizationCreateOptions{
		Name: tfe.String("Acme"), Email: tfe.String("ops@acme.example")})
	said["name taken"] = fmt.Sprint(err)
	changed, err := own.Organizations.Update(ctx, "Acme", tfe.OrganizationUpdateOptions{Email: tfe.String("x@acme.example")})
	must(err)
	demand(changed.Email == "x@acme.example", "the address is changed")
	list, err := own.Organizations.List(ctx, tfe.OrganizationListOptions{ListOptions: tfe.ListOptions{PageSize: 1}})
	must(err)
	said["organizations"] = []int{len(list.Items), list.TotalCount, list.TotalPages, list.NextPage}

	team, err := own.Teams.Create(ctx, "Acme", tfe.TeamCreateOptions{Name: tfe.String("web")})
	must(err)
	team, err = own.Teams.Update(ctx, team.ID, tfe.TeamUpdateOptions{Name: tfe.String("shop")})
	must(err)
	must(own.TeamMembers.Add(ctx, team.ID, tfe.TeamMemberAddOptions{Usernames: []string{os.Getenv("PERSON")}}))
	team, err = own.Teams.Read(ctx, team.ID)
	must(err)
	demand(team.Name == "shop" && team.UserCount == 1 && team.Permissions.CanDestroy, "the team is as it was changed")
	members, err := own.TeamMembers.List(ctx, team.ID)
	must(err)
	demand(len(members) == 1, "the team has a member")
	said["member"] = members[0].Username
	must(own.TeamMembers.Remove(ctx, team.ID, tfe.TeamMemberRemoveOptions{Usernames: []string{os.Getenv("PERSON")}}))
	teams, err := own.Teams.List(ctx, "Acme", tfe.TeamListOptions{})
	must(err)
	demand(len(teams.Items) == 1 && teams.Items[0].UserCount == 0, "there is one team, and nobody in it")
	membership, err := own.OrganizationMemberships.Create(ctx, "Acme",
		tfe.OrganizationMembershipCreateOptions{Email: tfe.String("new@acme.example")})
	must(err)
	demand(membership.Status == tfe.OrganizationMembershipInvited, "who is not there yet is invited")
	memberships, err := own.OrganizationMemberships.List(ctx, "Acme", tfe.OrganizationMembershipListOptions{Include: "user"})
	must(err)
	emails := []string{}
	for _, one := range memberships.Items {
		demand(one.Organization.Name == "Acme" && one.User.Email == one.Email, "a membership is somebody's somewhere")
		emails = append(emails, one.Email)
	}
	said["memberships"] = emails

	_, err = own.TeamTokens.Read(ctx, team.ID)
	demand(err == tfe.ErrResourceNotFound, "a team has no token until one is made")
	first, err := own.TeamTokens.Generate(ctx, team.ID)
	must(err)
	demand(first.Token != "" && !first.CreatedAt.IsZero(), "a token is shown when it is made")
	said["first team token"] = []string{account(first.Token)}
	second, err := own.TeamTokens.Generate(ctx, team.ID)
	must(err)
	read, err := own.TeamTokens.Read(ctx, team.ID)
	must(err)
	demand(read.ID == second.ID && read.Token == "", "it is not shown again")
	said["team tokens"] = []string{account(first.Token), account(second.Token)}
	must(own.TeamTokens.Delete(ctx, team.ID))
	said["deleted team token"] = account(second.Token)
	demand(own.TeamTokens.Delete(ctx, team.ID) == tfe.ErrResourceNotFound, "it is gone")

	_, err = own.OrganizationTokens.Read(ctx, "Acme")
	demand(err == tfe.ErrResourceNotFound, "an organization has no token until one is made")
	whole, err := own.OrganizationTokens.Generate(ctx, "Acme")
	must(err)
	shown, err := own.OrganizationTokens.Read(ctx, "Acme")
	must(err)
	demand(shown.ID == whole.ID && shown.Token == "", "it is not shown again")
	said["organization token"] = account(whole.Token)
	must(own.OrganizationTokens.Delete(ctx, "Acme"))
	said["deleted organization token"] = account(whole.Token)

	last, err := own.TeamTokens.Generate(ctx, team.ID)
	must(err)
	must(own.Teams.Delete(ctx, team.ID))
	said["token of a deleted team"] = account(last.Token)
	must(own.Organizations.Delete(ctx, "Acme"))
	_, err = own.Organizations.Read(ctx, "Acme")
	demand(err == tfe.ErrResourceNotFound, "the organization is gone")
	must(json.NewEncoder(os.Stdout).Encode(said))
}
