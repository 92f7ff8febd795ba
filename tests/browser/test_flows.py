"""What people come to the console for: by mouse, without a script, and by keyboard alone."""

import re
import time

import pytest
from playwright.sync_api import Page, expect
from world import ADA, IVY, MAX, PASSWORD, Person, chromium, inhabited, number_in, unfold


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with inhabited(tmp_path_factory.mktemp("flows")) as world:
        yield world


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def visitor(world, browser):
    """Somebody who has not signed in."""
    with Person(world, browser) as person:
        yield person
        assert not person.watch.complaints


@pytest.fixture
def ada(world, browser):
    with Person(world, browser, ADA) as person:
        yield person
        assert not person.watch.complaints


def sign_in(page: Page, email: str) -> None:
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def main(page: Page):
    return page.get_by_role("main")


def has_focus(page: Page, selector: str) -> bool:
    return page.evaluate("(selector) => document.activeElement.matches(selector)", selector)


def is_focused(page: Page, selector: str) -> bool:
    """Returns whether an element gets the focus: the browser gives it only after it has drawn a new page."""
    deadline = time.monotonic() + 5
    while not (found := has_focus(page, selector)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


@pytest.mark.parametrize("script", [True, False], ids=["with a script", "without a script"])
def test_a_person_signs_in_and_makes_finds_rotates_and_revokes_tokens(script, world, browser):
    mark = "scripted" if script else "plain"
    with Person(world, browser, java_script_enabled=script) as person:
        page = person.goes_to("o/acme/")
        expect(page).to_have_url(re.compile("login"))
        sign_in(page, ADA)
        # The page that was asked for.
        expect(page.locator("h1")).to_have_text("acme")
        assert page.evaluate("document.documentElement.classList.contains('script')") == script

        secrets = []
        for number in range(3):
            page.get_by_role("navigation", name="Main").get_by_role("link", name="Tokens", exact=True).click()
            page.get_by_role("link", name="New token").click()
            page.get_by_label("Name", exact=True).fill(f"{mark} {number}")
            page.get_by_label("These scopes").check()
            # The script opens them.
            expect(page.get_by_text("Start a deployment")).to_be_visible(visible=script)
            if not script:
                page.get_by_text("Choose scopes").click()
            page.get_by_label(re.compile("deploy:run")).check()
            page.get_by_label("after 7 days").check()
            page.get_by_role("button", name="Make the token").click()
            expect(page.locator("h1")).to_contain_text(f"{mark} {number}")
            assert is_focused(page, "h1"), "a screen reader goes on somewhere else"
            secrets.append(page.get_by_label("Token", exact=True).inner_text())
            world.secrets[f"{mark} {number}"] = secrets[-1]
            # The buttons that need a script are there if there is one.
            expect(page.get_by_role("button", name="Copy")).to_be_visible(visible=script)
            page.get_by_role("link", name="I have stored it").click()
            expect(page.locator("h1")).to_have_text(f"{mark} {number}")
            world.ids[f"{mark} {number}"] = number_in(page.url)
        assert len(set(secrets)) == 3
        assert all(world.is_active(f"{mark} {number}") for number in range(3))

        page.get_by_role("navigation", name="Main").get_by_role("link", name="Tokens", exact=True).click()
        page.get_by_label("Name or description").fill(f"{mark} 0")
        page.get_by_role("button", name="Search").click()
        expect(page.locator("tbody tr")).to_have_count(1)
        page.get_by_role("link", name=f"{mark} 0").click()

        page.locator("summary", has_text="Rotate").click()
        page.get_by_label("The old token ends").select_option("at once")
        main(page).get_by_role("button", name="Rotate").click()
        world.secrets["successor"] = page.get_by_label("Token", exact=True).inner_text()
        assert world.is_active("successor") and not world.is_active(f"{mark} 0")
        page.get_by_role("link", name="I have stored it").click()
        page.locator("summary", has_text="Revoke").click()
        page.get_by_label("Reason").fill("made by mistake")
        main(page).get_by_role("button", name="Revoke").click()
        expect(main(page)).to_contain_text("made by mistake")
        assert not world.is_active("successor")

        page.get_by_role("navigation", name="Main").get_by_role("link", name="Tokens", exact=True).click()
        page.get_by_label("Name or description").fill(mark)
        page.get_by_label("Status").select_option("active")
        page.get_by_role("button", name="Search").click()
        expect(page.locator("tbody tr")).to_have_count(2)
        page.get_by_label(re.compile(f"Select {mark} 1")).check()
        page.get_by_role("button", name="Revoke what is selected").click()
        expect(page.locator("h1")).to_have_text("Revoke 1 token")
        main(page).get_by_role("button", name="Revoke 1 token").click()
        assert not world.is_active(f"{mark} 1") and world.is_active(f"{mark} 2")

        page.goto(f"{world.console}o/acme/tokens?q={mark}&status=active")
        page.get_by_role("button", name="Revoke all that match").click()
        main(page).get_by_role("button", name="Revoke 1 token").click()
        if not script:
            while page.get_by_role("link", name="Look again").is_visible():
                page.get_by_role("link", name="Look again").click()
        expect(main(page)).to_contain_text("Finished")
        assert not world.is_active(f"{mark} 2")

        page.get_by_role("navigation", name="Main").get_by_role("link", name="Organizations", exact=True).click()
        main(page).get_by_role("link", name="acme").click()
        page.get_by_role("navigation", name="Main").get_by_role("link", name="Members", exact=True).click()
        page.get_by_label("Bring in a colleague").fill(f"{mark}@acme.example")
        page.get_by_role("button", name=re.compile("^Invite")).click()
        expect(page.get_by_role("row", name=f"{mark}@acme.example")).to_contain_text("Take back")
        page.locator("header summary", has_text=ADA).click()
        page.get_by_role("button", name="Sign out").click()
        expect(page.locator("h1")).to_have_text("Sign in")
        assert not person.watch.complaints


def test_an_invited_person_accepts(world, browser):
    with Person(world, browser) as person:
        page = person.goes_to("")
        sign_in(page, IVY)
        expect(main(page)).to_contain_text(f"acme invites you as member, by {ADA}")
        page.get_by_role("button", name="Accept").click()
        expect(page.locator("h1")).to_have_text("acme")


def press_until(page: Page, selector: str, key: str = "Tab") -> None:
    """Presses Tab until an element has the focus. It must be seen to have it, and so must each on the way."""
    for _ in range(90):
        page.keyboard.press(key)
        shown = page.evaluate(
            """() => {
                const one = document.activeElement, style = getComputedStyle(one), box = one.getBoundingClientRect();
                return one === document.body
                    || parseFloat(style.outlineWidth) >= 2 && style.outlineStyle !== "none" && box.width > 0;
            }"""
        )
        assert shown, f"the focus is not visible on {page.evaluate('document.activeElement.outerHTML')}"
        if has_focus(page, selector):
            return
    raise AssertionError(f"{selector} cannot be reached by keyboard")


def test_everything_is_done_by_keyboard(world, browser):
    with Person(world, browser) as person:
        page = person.goes_to("login")
        press_until(page, "[name=email]")
        page.keyboard.type(ADA)
        press_until(page, "[name=password]")
        page.keyboard.type(PASSWORD)
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("Organizations")
        person.goes_to("o/acme/")

        # The first stop leads over the navigation.
        page.keyboard.press("Tab")
        assert is_focused(page, "a.skip")
        expect(page.get_by_role("link", name="Skip to content")).to_be_in_viewport()
        page.keyboard.press("Enter")
        assert is_focused(page, "main")
        page.keyboard.press("Tab")
        assert is_focused(page, "main .button"), page.evaluate("document.activeElement.outerHTML")
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("New token")
        press_until(page, "[name=name]")
        page.keyboard.type("by keyboard")
        press_until(page, "[name=choice]")
        page.keyboard.press("ArrowDown")
        if not page.get_by_text("Start a deployment").is_visible():
            press_until(page, "summary")
            page.keyboard.press("Enter")
        press_until(page, "[value='deploy:run']")
        page.keyboard.press("Space")
        press_until(page, "main button.primary")
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_contain_text("by keyboard")
        assert is_focused(page, "h1")
        person.context.grant_permissions(["clipboard-read", "clipboard-write"])
        press_until(page, "[data-copy]")
        page.keyboard.press("Space")
        expect(page.locator("#copied")).to_have_text("Copied")
        press_until(page, "[data-stored]")
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("by keyboard")
        world.secrets["by keyboard"] = page.evaluate("navigator.clipboard.readText()")
        assert world.is_active("by keyboard")
        assert page.get_by_text("deploy:run").first.is_visible()

        press_until(page, "summary:has(+ form[action$=revoke])")
        page.keyboard.press("Enter")
        press_until(page, "[name=reason]")
        page.keyboard.type("made by mistake")
        press_until(page, "button.danger")
        page.keyboard.press("Space")
        expect(main(page)).to_contain_text("made by mistake")
        assert not world.is_active("by keyboard")
        assert not person.watch.complaints


def test_a_hidden_focus_is_noticed(ada):
    """The control of the test above."""
    page = ada.goes_to("inspect")
    page.evaluate("document.querySelector('textarea').style.outline = 'none'")
    with pytest.raises(AssertionError, match="not visible"):
        press_until(page, "main button")


def new_token(page: Page) -> None:
    page.get_by_label("Name", exact=True).fill("kept as it was")
    page.get_by_label("at a certain time").check()
    page.get_by_label(re.compile("Date and time")).fill("2020-01-01T00:00")


# Forms that the server refuses: the page, what is typed, the button, the field that is wrong, and what stays.
REFUSED = {
    "new token, in the past": ("o/acme/tokens/new", new_token, "Make the token", "expires_at", "kept as it was"),
    "new token, name": ("o/acme/tokens/new", {"Name": "a\u200bb", "slot": "kept"}, "Make the token", "name", "kept"),
    "new token, no scope": (
        "o/acme/tokens/new",
        {"Name": "kept", "choice": "scopes"},
        "Make the token",
        "scopes",
        "kept",
    ),
    "policy": ("o/acme/policy", {"max_lifetime": "soon"}, "Show what it breaks", "max_lifetime", "soon"),
    "policy, number": (
        "o/acme/policy",
        {"max_active_tokens_per_owner": "a few"},
        "Show what it breaks",
        "max_active_tokens_per_owner",
        "a few",
    ),
    "organization": ("organizations", {"name": "not a name!"}, "Make the organization", "name", "not a name!"),
    "team": ("o/acme/teams", {"name": "not a name!"}, "Make the team", "name", "not a name!"),
    "renamed": ("tokens/{backup}", {"name": "a\u200bb"}, "Save", "name", "a\u200bb"),
    "password": (
        "account",
        {"current_password": PASSWORD, "password": "short"},
        "Set the password",
        "password",
        "",
    ),
    "wrong password": (
        "account",
        {"current_password": "wrong", "password": "long enough for a password"},
        "Set the password",
        "current_password",
        "",
    ),
    "cut-off": (
        "o/acme/cut-off",
        {"reach": "user", "user": "nobody@acme.example"},
        "Show what would end",
        "user",
        "nobody@",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_form_says_what_is_wrong_and_keeps_what_was_typed(name, ada, world):
    path, typed, button, field, stays = REFUSED[name]
    page = ada.goes_to(path.format_map(world.ids))
    unfold(page)
    if callable(typed):
        typed(page)
    else:
        for label, text in typed.items():
            if page.locator(f"main [name={label}][type=radio]").count():
                page.locator(f"main [name={label}][value={text}]").check()
            elif label == "Name":
                page.get_by_label("Name", exact=True).fill(text)
            else:
                page.locator(f"main [name={label}]").last.fill(text)
    with page.expect_navigation() as answer:
        main(page).get_by_role("button", name=button, exact=True).last.click()
    assert 400 <= answer.value.status < 500
    assert is_focused(page, "#problem"), "a screen reader does not say that it was refused"
    wrong = page.locator(f"#field-{field}")
    expect(wrong).to_be_visible()
    if wrong.evaluate("one => one.matches('input, select, textarea')"):
        expect(wrong).to_have_attribute("aria-invalid", "true")
        message = wrong.get_attribute("aria-describedby").split()[-1]
        expect(page.locator(f"#{message}")).to_be_visible()
    if stays:
        fields = page.locator("main input:visible, main textarea:visible")
        kept = fields.evaluate_all("all => all.map(one => one.value)")
        assert any(stays in value for value in kept), kept
    link = page.locator("#problem a")
    # In words of the page, not of the API.
    assert "_" not in link.inner_text()
    link.click()
    assert is_focused(page, f"#field-{field}, #field-{field} *"), page.evaluate("document.activeElement.outerHTML")
    expect(page.locator("#problem")).to_be_visible()


def test_a_wrong_password_is_no_hint(visitor):
    page = visitor.goes_to("login")
    texts = []
    for email in (MAX, "nobody@acme.example"):
        page.get_by_label("E-mail address").fill(email)
        page.get_by_label("Password").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        assert is_focused(page, "#problem")
        texts.append(page.locator("#problem").inner_text())
        expect(page.get_by_label("E-mail address")).to_have_value(email)
        expect(page.get_by_label("Password")).to_have_value("")
    assert texts[0] == texts[1]


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
def test_times_are_in_the_zone_of_the_reader(zone, world, browser):
    with Person(world, browser, ADA, timezone_id=zone) as person:
        page = person.goes_to(f"tokens/{world.ids['migration']}")
        assert page.locator("main time").count() > 2
        for shown in page.locator("main time").all():
            assert zone in (shown.get_attribute("title") or shown.inner_text())
    with Person(world, browser, ADA, timezone_id=zone, java_script_enabled=False) as person:
        page = person.goes_to(f"tokens/{world.ids['migration']}")
        assert page.locator("main time").first.inner_text().endswith("UTC")


def test_a_slash_leads_to_the_search(ada):
    page = ada.goes_to("o/acme/tokens")
    page.keyboard.press("/")
    assert is_focused(page, "input[type=search]")
    page.keyboard.type("a/b")
    expect(page.locator("input[type=search]")).to_have_value("a/b")


def test_colours_are_chosen_and_kept(ada):
    page = ada.goes_to("inspect")
    paper = "getComputedStyle(document.documentElement).backgroundColor"
    page.emulate_media(color_scheme="light")
    light = page.evaluate(paper)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(paper)
    assert light != dark
    for name, wanted in [("light", light), ("dark", dark)]:
        page.emulate_media(color_scheme="dark" if name == "light" else "light")
        page.get_by_role("button", name=name, exact=True).click()
        expect(page.locator("h1")).to_have_text("Inspect a token")
        assert page.evaluate(paper) == wanted
        ada.goes_to("account")
        assert page.evaluate(paper) == wanted
        ada.goes_to("inspect")


def test_sorting_and_pages_of_the_list(ada):
    page = ada.goes_to("o/acme/tokens?q=runner")
    page.get_by_role("link", name="Name", exact=True).click()
    first = page.locator("tbody th").first
    expect(first).to_contain_text("runner 000")
    expect(page.get_by_role("columnheader", name="Name")).to_have_attribute("aria-sort", "ascending")
    page.get_by_role("link", name="Next page").click()
    expect(first).to_contain_text("runner 050")
    page.get_by_role("link", name="Previous page").click()
    expect(first).to_contain_text("runner 000")
    page.get_by_role("link", name="Name", exact=True).click()
    expect(first).to_contain_text("runner 199")


def test_a_token_that_nobody_uses_is_found_and_revoked(ada, world):
    page = ada.goes_to("o/acme/")
    page.get_by_role("link", name="Tokens", exact=True).click()
    page.get_by_role("link", name="Never used", exact=True).click()
    expect(page.get_by_role("link", name="Never used", exact=True)).to_have_attribute("aria-current", "true")
    page.get_by_label("Name or description").fill("never used")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="never used", exact=True).click()
    expect(main(page)).to_contain_text("never")
    page.locator("summary", has_text="Revoke").click()
    main(page).get_by_role("button", name="Revoke").click()
    expect(main(page)).to_contain_text(f"Revoked now by {ADA}")
    assert not world.is_active("never used")


def test_home_shows_how_often_revoked_tokens_were_presented(ada, world):
    assert not world.is_active("leaked")
    page = ada.goes_to("o/acme/")
    deadline = time.monotonic() + 10
    # The authority adds up refusals before it writes them.
    while not page.locator("#chart-of-refusals").count():
        assert time.monotonic() < deadline
        page.reload()
    page.locator("summary", has_text="Numbers").click()
    row = page.get_by_role("table").first.locator("tr").last
    assert int(row.locator("td").last.inner_text()) >= 1


def test_the_list_of_all_organizations_names_teams(world, browser):
    with Person(world, browser, world.server.email) as person:
        page = person.goes_to("tokens?q=backup")
        expect(page.locator("tbody tr")).to_contain_text("team platform in acme")
        assert not person.watch.complaints
