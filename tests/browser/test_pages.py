"""Every page of the console: accessible, small, without an error in the browser, and without another organization."""

import re

import pytest
import world as worlds
from world import ADA, FOREIGN, IVY, MAX, VERA, Person, chromium, inhabited, until, unfold, violations

NARROW = {"width": 320, "height": 640}
WIDE = {"width": 1280, "height": 800}
LARGEST_PAGE = 60_000
ADMIN = "admin@example.org"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with inhabited(tmp_path_factory.mktemp("pages")) as world:
        yield world


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def people(world, browser):
    """Those who look at pages, each with a browser of their own that they keep."""
    open_ones = {}

    def person(email: str) -> Person:
        if email not in open_ones:
            open_ones[email] = Person(world, browser, email)
        return open_ones[email]

    yield person
    for one in open_ones.values():
        one.context.close()


def fill(person: Person, path: str, fields: dict[str, str], button: str) -> None:
    """Opens a page, fills a form and sends it."""
    page = person.goes_to(path)
    for label, text in fields.items():
        page.get_by_label(label, exact=True).fill(text)
    page.get_by_role("main").get_by_role("button", name=button, exact=True).click()


def open_token(action: str, button: str):
    def steps(person: Person) -> None:
        page = person.goes_to(f"tokens/{person.world.issue(f'to {action}')}")
        page.locator("summary", has_text=action).click()
        page.get_by_role("button", name=button, exact=True).click()

    return steps


def created(person: Person) -> None:
    fill(person, "o/acme/tokens/new", {"Name": "shown"}, "Make the token")


def refused_token(person: Person) -> None:
    page = person.goes_to("o/acme/tokens/new")
    page.get_by_label("Name", exact=True).fill("x" * 255)
    page.get_by_label("These scopes").check()
    page.get_by_label("at a certain time").check()
    page.get_by_label(re.compile("Date and time")).fill("2020-01-01T00:00")
    page.get_by_role("button", name="Make the token").click()


def selection(person: Person) -> None:
    page = person.goes_to("o/acme/tokens?q=runner+00&status=active")
    for box in page.get_by_role("checkbox").all()[:3]:
        box.check()
    page.get_by_role("button", name="Revoke what is selected").click()


def many(person: Person) -> None:
    page = person.goes_to("o/acme/tokens?q=runner&status=active")
    page.get_by_role("button", name="Revoke all that match").click()


def many_with_the_wrong_number(person: Person) -> None:
    many(person)
    person.page.get_by_label("Type the number of tokens that end").fill("7")
    person.page.get_by_role("main").get_by_role("button", name=re.compile("^Revoke")).click()


def progress(person: Person) -> None:
    person.world.issue("of a batch")
    page = person.goes_to("o/acme/tokens?q=of+a+batch&status=active")
    page.get_by_role("button", name="Revoke all that match").click()
    page.get_by_role("main").get_by_role("button", name=re.compile("^Revoke")).click()
    page.get_by_text(re.compile("Finished")).wait_for()


def incident(person: Person) -> None:
    fill(person, "incident", {"Token or jti": person.world.secrets["maker"]}, "Examine it")


def inspect(name: str):
    return lambda person: fill(person, "inspect", {"Token or jti": person.world.secrets[name]}, "Inspect")


def found(person: Person) -> None:
    person.world.issue("lost")
    fill(person, "found", {"Token": person.world.secrets["lost"]}, "End this token")


def policy(person: Person) -> None:
    fill(person, "o/acme/policy", {"Longest lifetime": "30d"}, "Show what it breaks")


def refused_policy(person: Person) -> None:
    fill(person, "o/acme/policy", {"Longest lifetime": "soon"}, "Show what it breaks")


def cut_off(person: Person) -> None:
    fill(person, "o/acme/cut-off", {"Reason": "leaked"}, "Show what would end")


def cut_off_with_the_wrong_name(person: Person) -> None:
    cut_off(person)
    person.page.get_by_label("Type the name of the organization to confirm").fill("acne")
    person.page.get_by_role("button", name="End them").click()


def carried_out_cut_off(person: Person) -> None:
    fill(person, "o/empty/cut-off", {"Reason": "leaked"}, "Show what would end")
    person.page.get_by_label("Type the name of the organization to confirm").fill("empty")
    person.page.get_by_role("button", name="End them").click()


def refused_sign_in(person: Person) -> None:
    fill(person, "login", {"E-mail address": MAX, "Password": "wrong"}, "Sign in")


def key(person: Person) -> None:
    page = person.goes_to("keys")
    page.get_by_role("button", name="Rotate").click()
    page.get_by_text("Revoke", exact=True).first.click()


def at(path: str):
    return lambda person: person.goes_to(path.format_map(Numbers(person)))


class Numbers(dict):
    """The numbers of tokens by their names, and of the team, in addresses."""

    def __init__(self, person: Person):
        super().__init__({"team": person.world.team, **person.world.ids})


def all_open(path: str):
    """Opens a page and everything on it that can be opened, to look at what is folded away."""

    def steps(person: Person) -> None:
        at(path)(person)
        unfold(person.page)

    return steps


# The pages: who looks at them, and how they come by them.
PAGES = {
    "sign in": ("", at("login")),
    "sign in, refused": ("", refused_sign_in),
    "found": ("", at("found")),
    "found and ended": ("", found),
    "found, no token": ("", lambda person: fill(person, "found", {"Token": "eyJ.not.one"}, "End this token")),
    "organizations": (ADA, all_open("organizations")),
    "organizations, invited": (IVY, at("organizations")),
    "organizations, all": (ADMIN, at("organizations")),
    "home": (ADA, all_open("o/acme/")),
    "home, empty": (ADA, at("o/empty/")),
    "home of a viewer": (VERA, at("o/acme/")),
    "tokens": (ADA, at("o/acme/tokens")),
    "tokens of a member": (MAX, at("o/acme/tokens")),
    "tokens, filtered": (ADA, at("o/acme/tokens?q=runner&status=active&sort_by=name&descending=false")),
    "tokens, none matches": (ADA, at("o/acme/tokens?q=nothing+is+called+so")),
    "tokens, none": (ADA, at("o/empty/tokens")),
    "new token": (ADA, all_open("o/acme/tokens/new")),
    "new token of a member": (MAX, all_open("o/acme/tokens/new")),
    "new token, refused": (ADA, refused_token),
    "new token like another": (ADA, at("o/acme/tokens/new?from={deploy from CI}")),
    "created": (ADA, created),
    "token": (ADA, all_open("tokens/{deploy from CI}")),
    "token that has made one": (ADA, at("tokens/{maker}")),
    "token, revoked": (ADA, at("tokens/{leaked}")),
    "token, rotated": (ADA, at("tokens/{rotated}")),
    "rotated": (ADA, open_token("Rotate", "Rotate")),
    "just revoked": (ADA, open_token("Revoke", "Revoke")),
    "selection": (ADA, selection),
    "many": (ADA, many),
    "many, refused": (ADA, many_with_the_wrong_number),
    "progress": (ADA, progress),
    "incident": (ADA, at("incident")),
    "incident, examined": (ADA, incident),
    "inspect": (ADA, all_open("inspect")),
    "inspect, accepted": (ADA, inspect("backup")),
    "inspect, refused": (ADA, inspect("leaked")),
    "audit": (ADA, at("o/acme/audit")),
    "audit, filtered": (ADA, at("o/acme/audit?action=token.revoke")),
    "teams": (ADA, all_open("o/acme/teams")),
    "team": (ADA, all_open("o/acme/teams/{team}")),
    "members": (ADA, all_open("o/acme/members")),
    "members, for a member": (MAX, at("o/acme/members")),
    "policy": (ADA, at("o/acme/policy")),
    "policy, what it breaks": (ADA, policy),
    "policy, refused": (ADA, refused_policy),
    "cut-off": (ADA, at("o/acme/cut-off")),
    "cut-off, preview": (ADA, cut_off),
    "cut-off, refused": (ADA, cut_off_with_the_wrong_name),
    "cut-off, done": (ADA, carried_out_cut_off),
    "account": (ADA, at("account")),
    "account of a member": (MAX, at("account")),
    "not found": (ADA, at("tokens/999999")),
    "not found, no such page": (ADA, at("nowhere/at/all")),
    "people": (ADMIN, all_open("people")),
    "person": (ADMIN, all_open(f"people/{MAX}")),
    "keys": (ADMIN, key),
    "tokens, all": (ADMIN, at("tokens")),
    "audit, all": (ADMIN, at("audit")),
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_sound(name, people):
    email, steps = PAGES[name]
    person = people(email)
    page = person.page
    person.watch.complaints.clear()
    page.set_viewport_size(WIDE)
    page.emulate_media(color_scheme="light")
    steps(person)
    page.wait_for_load_state()
    assert page.locator("h1").count() == 1
    assert "·" in page.title()

    html = page.content()
    assert len(html.encode()) <= LARGEST_PAGE, f"{len(html.encode())} bytes"
    if email != ADMIN:
        assert FOREIGN not in html.lower(), "it names another organization"

    found = violations(page)
    page.emulate_media(color_scheme="dark")
    found += [f"dark: {one}" for one in violations(page, ["color-contrast", "link-in-text-block"])]
    page.set_viewport_size(NARROW)
    found += [f"narrow: {one}" for one in violations(page)]
    assert not found, "\n".join(found)
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"], wide_ones(page)
    assert not person.watch.complaints


def wide_ones(page) -> list[str]:
    """Returns the elements that make a page wider than the window."""
    return page.evaluate(
        """[...document.querySelectorAll("body *")]
            .filter((one) => one.getBoundingClientRect().right > innerWidth && !one.closest(".scroll *"))
            .map((one) => one.outerHTML.slice(0, 120))"""
    )


def test_the_checks_find_what_is_wrong(people):
    """The control: each check complains about a page that was spoilt for it."""
    person = people(ADA)
    page = person.goes_to("inspect")
    person.watch.complaints.clear()
    page.evaluate("document.querySelector('main').insertAdjacentHTML('beforeend', '<input name=unlabelled>')")
    assert any("unlabelled" in one for one in violations(page))
    page.set_viewport_size(NARROW)
    page.evaluate("document.querySelector('main').insertAdjacentHTML('beforeend', '<p>' + 'x'.repeat(500))")
    assert page.evaluate("document.documentElement.scrollWidth") > NARROW["width"]
    assert not person.watch.complaints
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {textContent: 'x()'}))")
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=https://evil.example/x.png>')")
    until(lambda: page.evaluate("true") and len(person.watch.complaints) >= 2)
    assert any("script-src" in one for one in person.watch.complaints)
    assert any("img-src" in one for one in person.watch.complaints)


def test_who_is_signed_in_keeps_the_navigation_where_there_is_no_page(people):
    person = people(ADA)
    for path in ("nowhere", "tokens/999999", "o/nowhere/tokens"):
        page = person.goes_to(path)
        assert person.heading() == "Not found"
        page.get_by_role("navigation", name="Main").get_by_role("link", name="Organizations").wait_for()
    stranger = people("").goes_to("nowhere")
    stranger.get_by_role("link", name="Sign in").wait_for()
    # The answer to a form has an address that is no page of its own. It leads to the page with the form.
    token = person.world.ids["backup"]
    for path, page in [
        (f"tokens/{token}/rotate", f"tokens/{token}"),
        ("o/acme/tokens/revoke/now", "o/acme/tokens"),
        ("account/password", "account"),
    ]:
        person.goes_to(path)
        assert person.page.url == person.world.console + page


def test_the_pages_of_another_organization_are_not_found(people):
    """The control is the site administrator, for whom each of these pages has the name."""
    for path in ("o/{org}/", "o/{org}/tokens", "o/{org}/teams", "o/{org}/audit", "tokens/{token}"):
        path = path.format(org=f"{FOREIGN}-org", token=people(ADA).world.ids[f"{FOREIGN} token"])
        for email in (ADA, MAX, VERA):
            person = people(email)
            answer = person.page.goto(person.world.console + path)
            assert answer.status == 404, path
            assert FOREIGN not in person.page.get_by_role("main").inner_text().lower()
        admin = people(ADMIN)
        assert admin.page.goto(admin.world.console + path).status == 200
        assert FOREIGN in admin.page.content()


def test_axe_is_installed():
    assert worlds.AXE.stat().st_size > 100_000, "run make tests/interop/node_modules/installed"
