// Sends what Terraform's provider sends for each of its resources that exist here, in the provider's order: create,
// refresh, update, import, refresh after somebody else has removed the resource, and destroy. It fails at the first
// state that differs from the plan.
package main

import (
	"context"
	"fmt"
	"os"
	"sort"
	"strings"

	tfe "github.com/hashicorp/go-tfe"
)

var ctx = context.Background()

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func demand(holds bool, what string, values ...interface{}) {
	if !holds {
		panic(fmt.Sprintf(what, values...))
	}
}

// A resource of the provider. Ids are those that the provider keeps.
type resource struct {
	create func() string
	// Returns the state, which is also the planned one. The provider drops a resource that is not found.
	read func(id string) (string, error)
	plan string
	// Nil if every change makes another resource. Returns the id and the plan, which may change.
	update func(id string) (string, string)
	// Returns the id of a resource that is imported by name.
	imported func() string
	remove   func(id string) error
}

func (r resource) refresh(id string, plan string) {
	state, err := r.read(id)
	must(err)
	demand(state == plan, "%s: the state is %s, the plan %s", id, state, plan)
}

func (r resource) gone(id string) {
	_, err := r.read(id)
	demand(err == tfe.ErrResourceNotFound, "%s is not gone: %v", id, err)
}

// Creates, updates and imports the resource, which somebody else then removes: the next refresh drops it.
func (r resource) once() {
	id := r.create()
	r.refresh(id, r.plan)
	if r.update != nil {
		var plan string
		id, plan = r.update(id)
		r.refresh(id, plan)
	}
	if r.imported != nil {
		imported := r.imported()
		demand(imported == id, "%s is imported as %s", id, imported)
	}
	must(r.remove(id))
	r.gone(id)
}

// Creates the resource again after somebody else has removed it, and destroys it.
func (r resource) run(name string) {
	r.once()
	id := r.create()
	r.refresh(id, r.plan)
	must(r.remove(id))
	r.gone(id)
	fmt.Println(name)
}

func main() {
	address, token, person := os.Getenv("ADDRESS"), os.Getenv("TOKEN"), os.Getenv("PERSON")
	client, err := tfe.NewClient(&tfe.Config{Address: address, Token: token})
	must(err)

	organization(client).once()
	// A removed or renamed organization keeps its name from others for 30 days.
	_, err = client.Organizations.Create(ctx, tfe.OrganizationCreateOptions{
		Name: tfe.String("first"), Email: tfe.String("ops@acme.example")})
	demand(err != nil && strings.Contains(err.Error(), "has already been taken"), "the name is free: %v", err)
	fmt.Println("tfe_organization")

	_, err = client.Organizations.Create(ctx, tfe.OrganizationCreateOptions{
		Name: tfe.String("acme"), Email: tfe.String("ops@acme.example")})
	must(err)
	team(client).run("tfe_team")
	crew, err := client.Teams.Create(ctx, "acme", tfe.TeamCreateOptions{Name: tfe.String("crew")})
	must(err)
	membership(client, person).run("tfe_organization_membership")
	membership(client, "invited@acme.example").run("tfe_organization_membership of an invited address")

	made := []string{}
	for _, email := range []string{person, "invited@acme.example"} {
		one, err := client.OrganizationMemberships.Create(ctx, "acme",
			tfe.OrganizationMembershipCreateOptions{Email: tfe.String(email)})
		must(err)
		made = append(made, one.ID)
	}
	teamMembers(client, crew.ID, person).run("tfe_team_members")
	teamOrganizationMember(client, crew.ID, made[0]).run("tfe_team_organization_member")
	teamOrganizationMember(client, crew.ID, made[1]).run("tfe_team_organization_member of an invited address")
	teamOrganizationMembers(client, crew.ID, made).run("tfe_team_organization_members")
	teamToken(client, crew.ID).run("tfe_team_token")
	organizationToken(client).run("tfe_organization_token")

	// Everything of a removed team or organization is dropped.
	must(client.Teams.Delete(ctx, crew.ID))
	teamMembers(client, crew.ID, person).gone(crew.ID)
	teamOrganizationMembers(client, crew.ID, made).gone(crew.ID)
	teamToken(client, crew.ID).gone(crew.ID)
	must(client.Organizations.Delete(ctx, "acme"))
	membership(client, person).gone(made[0])
	organizationToken(client).gone("acme")
}

// The organization is updated right after it was created, with all attributes that the provider has defaults for.
func organization(client *tfe.Client) resource {
	update := func(id, name, email string) string {
		changed, err := client.Organizations.Update(ctx, id, tfe.OrganizationUpdateOptions{
			Name: tfe.String(name), Email: tfe.String(email),
			CollaboratorAuthPolicy: tfe.AuthPolicy(tfe.AuthPolicyPassword)})
		must(err)
		return changed.Name
	}
	return resource{
		create: func() string {
			made, err := client.Organizations.Create(ctx, tfe.OrganizationCreateOptions{
				Name: tfe.String("first"), Email: tfe.String("ops@acme.example")})
			must(err)
			return update(made.Name, "first", "ops@acme.example")
		},
		plan: "first ops@acme.example password 0 0",
		read: func(id string) (string, error) {
			shown, err := client.Organizations.Read(ctx, id)
			if err != nil {
				return "", err
			}
			return fmt.Sprint(shown.Name, " ", shown.Email, " ", shown.CollaboratorAuthPolicy, " ",
				shown.SessionTimeout, " ", shown.SessionRemember), nil
		},
		update: func(id string) (string, string) {
			return update(id, "second", "x@acme.example"), "second x@acme.example password 0 0"
		},
		remove: func(id string) error { return client.Organizations.Delete(ctx, id) },
	}
}

func team(client *tfe.Client) resource {
	access := &tfe.OrganizationAccessOptions{
		ManagePolicies: tfe.Bool(false), ManageWorkspaces: tfe.Bool(false), ManageVCSSettings: tfe.Bool(false)}
	return resource{
		create: func() string {
			made, err := client.Teams.Create(ctx, "acme", tfe.TeamCreateOptions{
				Name: tfe.String("web"), OrganizationAccess: access})
			must(err)
			return made.ID
		},
		plan: "web organization false",
		read: func(id string) (string, error) {
			shown, err := client.Teams.Read(ctx, id)
			if err != nil {
				return "", err
			}
			return fmt.Sprint(shown.Name, " ", shown.Visibility, " ", shown.OrganizationAccess.ManageWorkspaces), nil
		},
		update: func(id string) (string, string) {
			_, err := client.Teams.Update(ctx, id, tfe.TeamUpdateOptions{
				Name: tfe.String("shop"), OrganizationAccess: access, Visibility: tfe.String("organization")})
			must(err)
			return id, "shop organization false"
		},
		imported: func() string { return teamNamed(client, "shop") },
		remove:   func(id string) error { return client.Teams.Delete(ctx, id) },
	}
}

func teamNamed(client *tfe.Client, name string) string {
	list, err := client.Teams.List(ctx, "acme", tfe.TeamListOptions{})
	must(err)
	for _, one := range list.Items {
		if one.Name == name {
			return one.ID
		}
	}
	panic("no team has the name " + name)
}

// The state names a user also for an invited address.
func membership(client *tfe.Client, email string) resource {
	return resource{
		create: func() string {
			made, err := client.OrganizationMemberships.Create(ctx, "acme",
				tfe.OrganizationMembershipCreateOptions{Email: tfe.String(email)})
			must(err)
			return made.ID
		},
		plan: email + " acme " + email,
		read: func(id string) (string, error) {
			shown, err := client.OrganizationMemberships.ReadWithOptions(ctx, id,
				tfe.OrganizationMembershipReadOptions{Include: "user"})
			if err != nil {
				return "", err
			}
			demand(strings.HasPrefix(shown.User.ID, "user-"), "the user has an id")
			return shown.Email + " " + shown.Organization.Name + " " + shown.User.Username, nil
		},
		imported: func() string {
			list, err := client.OrganizationMemberships.List(ctx, "acme",
				tfe.OrganizationMembershipListOptions{Include: "user"})
			must(err)
			for _, one := range list.Items {
				if one.Email == email && one.User.Username == email {
					return one.ID
				}
			}
			panic("no membership has the address " + email)
		},
		remove: func(id string) error { return client.OrganizationMemberships.Delete(ctx, id) },
	}
}

// The id is that of the team. Without members there is no resource.
func teamMembers(client *tfe.Client, team, person string) resource {
	names := func(id string) ([]string, error) {
		users, err := client.TeamMembers.List(ctx, id)
		found := []string{}
		for _, user := range users {
			found = append(found, user.Username)
		}
		if err == nil && len(found) == 0 {
			err = tfe.ErrResourceNotFound
		}
		return found, err
	}
	return resource{
		create: func() string {
			must(client.TeamMembers.Add(ctx, team, tfe.TeamMemberAddOptions{Usernames: []string{person}}))
			return team
		},
		plan: person,
		read: func(id string) (string, error) {
			found, err := names(id)
			return strings.Join(found, " "), err
		},
		remove: func(id string) error {
			found, err := names(id)
			must(err)
			return client.TeamMembers.Remove(ctx, id, tfe.TeamMemberRemoveOptions{Usernames: found})
		},
	}
}

// The id is made of both.
func teamOrganizationMember(client *tfe.Client, team, membership string) resource {
	ids := []string{membership}
	return resource{
		create: func() string {
			must(client.TeamMembers.Add(ctx, team, tfe.TeamMemberAddOptions{OrganizationMembershipIDs: ids}))
			return team + "/" + membership
		},
		plan: membership,
		read: func(id string) (string, error) {
			parts := strings.SplitN(id, "/", 2)
			list, err := client.TeamMembers.ListOrganizationMemberships(ctx, parts[0])
			if err != nil {
				return "", err
			}
			for _, one := range list {
				if one.ID == parts[1] {
					return one.ID, nil
				}
			}
			return "", tfe.ErrResourceNotFound
		},
		imported: func() string { return teamNamed(client, "crew") + "/" + membership },
		remove: func(id string) error {
			return client.TeamMembers.Remove(ctx, team, tfe.TeamMemberRemoveOptions{OrganizationMembershipIDs: ids})
		},
	}
}

// The id is that of the team. The provider reads each membership of the team, to leave out service accounts.
func teamOrganizationMembers(client *tfe.Client, team string, memberships []string) resource {
	joined := func(ids []string) string {
		sorted := append([]string{}, ids...)
		sort.Strings(sorted)
		return strings.Join(sorted, " ")
	}
	people := func(id string) ([]string, error) {
		list, err := client.TeamMembers.ListOrganizationMemberships(ctx, id)
		found := []string{}
		for _, one := range list {
			shown, err := client.OrganizationMemberships.ReadWithOptions(ctx, one.ID,
				tfe.OrganizationMembershipReadOptions{Include: "user"})
			must(err)
			if !shown.User.IsServiceAccount {
				found = append(found, shown.ID)
			}
		}
		if err == nil && len(found) == 0 {
			err = tfe.ErrResourceNotFound
		}
		return found, err
	}
	return resource{
		create: func() string {
			must(client.TeamMembers.Add(ctx, team, tfe.TeamMemberAddOptions{OrganizationMembershipIDs: memberships}))
			return team
		},
		plan: joined(memberships),
		read: func(id string) (string, error) {
			found, err := people(id)
			return joined(found), err
		},
		update: func(id string) (string, string) {
			must(client.TeamMembers.Remove(ctx, id,
				tfe.TeamMemberRemoveOptions{OrganizationMembershipIDs: memberships[1:]}))
			return id, memberships[0]
		},
		remove: func(id string) error {
			found, err := people(id)
			must(err)
			return client.TeamMembers.Remove(ctx, id, tfe.TeamMemberRemoveOptions{OrganizationMembershipIDs: found})
		},
	}
}

// The id is that of the team. The provider creates no token where there is one.
func teamToken(client *tfe.Client, team string) resource {
	return resource{
		create: func() string {
			_, err := client.TeamTokens.Read(ctx, team)
			demand(err == tfe.ErrResourceNotFound, "the team has a token: %v", err)
			made, err := client.TeamTokens.Generate(ctx, team)
			must(err)
			demand(made.Token != "", "a new token is shown")
			return team
		},
		plan: "authentication-token",
		read: func(id string) (string, error) {
			_, err := client.TeamTokens.Read(ctx, id)
			return "authentication-token", err
		},
		remove: func(id string) error { return client.TeamTokens.Delete(ctx, id) },
	}
}

// The id is the organization's name. The provider creates no token where there is one.
func organizationToken(client *tfe.Client) resource {
	return resource{
		create: func() string {
			_, err := client.OrganizationTokens.Read(ctx, "acme")
			demand(err == tfe.ErrResourceNotFound, "the organization has a token: %v", err)
			made, err := client.OrganizationTokens.Generate(ctx, "acme")
			must(err)
			demand(made.Token != "", "a new token is shown")
			return "acme"
		},
		plan: "authentication-token",
		read: func(id string) (string, error) {
			_, err := client.OrganizationTokens.Read(ctx, id)
			return "authentication-token", err
		},
		remove: func(id string) error { return client.OrganizationTokens.Delete(ctx, id) },
	}
}
