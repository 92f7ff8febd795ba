"""The session and the tokens in the browser: each is where it has to be, and nowhere else."""

import re

import pytest
from playwright.sync_api import Error, Page, expect
from recorder import recording
from world import ADA, PASSWORD, Person, chromium, inhabited, until


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with inhabited(tmp_path_factory.mktemp("secrets"), many=3) as world:
        yield world


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def ada(world, browser):
    with Person(world, browser, ADA) as person:
        yield person
        assert not person.watch.complaints


def sign_in(page: Page) -> None:
    page.get_by_label("E-mail address").fill(ADA)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("h1")).not_to_have_text("Sign in")


def make(person: Person, name: str) -> str:
    """Makes a token and returns it. The page that shows it stays open."""
    page = person.goes_to("o/acme/tokens/new")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Make the token").click()
    return page.get_by_label("Token", exact=True).inner_text()


def settled(page: Page) -> str:
    """Returns what a page shows when it is there, be it an error of the browser's own."""
    shown = []

    def is_there() -> bool:
        try:
            shown.append(page.content())
        except Error:
            page.wait_for_timeout(50)
        return bool(shown)

    until(is_there)
    return shown[0]


def stored_by(page: Page) -> str:
    """Returns all that the scripts of a page can store or read again."""
    return page.evaluate("JSON.stringify([localStorage, sessionStorage, history.state, document.cookie, name])")


def test_the_session_is_in_a_cookie_that_no_script_reads(world, browser):
    with Person(world, browser) as person:
        page = person.goes_to("login")
        sign_in(page)
        cookies = {cookie["name"]: cookie for cookie in person.context.cookies()}
        session = cookies.pop("jeton")
        assert session["httpOnly"] and session["sameSite"] == "Lax" and session["path"] == "/"
        # Half an hour after the last page.
        lives = session["expires"] - page.evaluate("Date.now() / 1000")
        assert 1700 < lives <= 1800
        assert not cookies
        assert session["value"] not in stored_by(page) + page.content()
        page.evaluate("document.cookie = 'control=1'")
        assert "control=1" in stored_by(page)


def test_signing_out_ends_the_session_and_back_shows_nothing(world, browser):
    with Person(world, browser) as person, Person(world, browser) as thief:
        page = person.goes_to("login")
        sign_in(page)
        person.goes_to("o/acme/tokens?q=backup")
        expect(page.locator("tbody")).to_contain_text("backup")
        (cookie,) = (cookie for cookie in person.context.cookies() if cookie["name"] == "jeton")
        thief.context.add_cookies([cookie])
        thief.goes_to("account")
        assert thief.heading() == "My account"

        page.locator("header summary", has_text=ADA).click()
        page.get_by_role("button", name="Sign out").click()
        expect(page.locator("h1")).to_have_text("Sign in")
        thief.goes_to("account")
        assert thief.heading() == "Sign in"
        page.go_back()
        expect(page.locator("h1")).to_have_text("Sign in")
        assert "backup" not in page.get_by_role("main").inner_text()


@pytest.mark.parametrize("script", [True, False], ids=["with a script", "without a script"])
def test_a_token_is_in_one_answer_and_nowhere_else(script, world, browser):
    with recording() as (proxy, exchanges):
        with Person(world, browser, ADA, java_script_enabled=script, proxy={"server": proxy}) as person:
            page = person.page
            secret = make(person, f"once {script}")
            assert secret.count(".") == 2 and secret not in stored_by(page)
            created = page.url
            page.get_by_role("link", name="I have stored it").click()
            expect(page.locator("h1")).to_have_text(f"once {script}")
            assert secret not in page.content() + stored_by(page)
            for step in ("go_back", "go_forward", "go_back", "go_back", "go_forward"):
                try:
                    getattr(page, step)(wait_until="load", timeout=5_000)
                # Chromium asks whether the form is to be sent again, and shows an error instead of the page.
                except Error as error:
                    assert "ERR_CACHE_MISS" in str(error), error
                assert secret not in settled(page), step
            for path in ("o/acme/tokens", "o/acme/", "o/acme/audit", "account", created.removeprefix(world.console)):
                person.goes_to(path)
                assert secret not in page.content() + stored_by(page), path
            # A tab that is opened once more asks the server again.
            assert secret not in created

        bearing = [one for one in exchanges if secret in one.body]
        assert len(bearing) == 1, bearing
        assert (bearing[0].method, bearing[0].status) == ("POST", 200)
        assert "cache-control: no-store" in bearing[0].headers.lower()
        assert len(exchanges) > 10
        for one in exchanges:
            assert secret not in one.url + one.sent + one.headers, one
    log = world.log.read_text()
    assert secret not in log
    assert "create_token" in log and "console" in log, "the log has no line of the request"


def test_a_token_is_shown_once_by_rotation_too(ada, world):
    page = ada.goes_to(f"tokens/{world.issue('to rotate')}")
    page.locator("summary", has_text="Rotate").click()
    page.get_by_role("main").get_by_role("button", name="Rotate").click()
    secret = page.get_by_label("Token", exact=True).inner_text()
    page.get_by_role("link", name="I have stored it").click()
    expect(page.locator("h1")).to_have_text("to rotate")
    assert secret not in page.content() and secret not in world.log.read_text()


def test_a_page_that_the_browser_keeps_is_without_the_token(ada):
    """Chromium keeps no page with `no-store` today; others do, and it may."""
    secret = make(ada, "left behind")
    page = ada.page
    assert secret in page.content()
    page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', {persisted: true}))")
    assert secret not in page.content()
    expect(page.get_by_role("main")).to_contain_text("was shown here once")


def test_pasted_tokens_are_not_shown_again_nor_logged(ada, world):
    secret = world.secrets["maker"]
    for path, button in [("inspect", "Inspect"), ("incident", "Examine it")]:
        page = ada.goes_to(path)
        page.get_by_label("Token or jti").fill(secret)
        page.get_by_role("main").get_by_role("button", name=button, exact=True).click()
        expect(page.get_by_role("main")).to_contain_text("maker")
        assert secret not in page.content() + page.url
        for field in page.locator("main input, main textarea").all():
            assert field.input_value() != secret
    assert secret not in world.log.read_text()


def test_copying_puts_the_token_into_the_clipboard_and_says_so(ada, world):
    ada.context.grant_permissions(["clipboard-read", "clipboard-write"])
    secret = make(ada, "copied")
    page = ada.page
    assert page.locator("#copied").inner_text() == ""
    page.get_by_role("button", name="Copy").click()
    expect(page.locator("#copied")).to_have_text(re.compile("Copied"))
    assert page.evaluate("navigator.clipboard.readText()") == secret


def test_what_cannot_be_copied_is_selected(ada):
    secret = make(ada, "not copied")
    page = ada.page
    page.evaluate("void (navigator.clipboard.writeText = () => Promise.reject())")
    page.get_by_role("button", name="Copy").click()
    expect(page.locator("#copied")).to_contain_text("not allowed")
    assert page.evaluate("getSelection().toString()").strip() == secret


@pytest.mark.parametrize(
    ("button", "name", "text"),
    [("Download", "for CI.token", "{}\n"), ("Download as .env", "for CI.env", "TOKEN={}\n")],
)
def test_downloading_gives_a_file(button, name, text, ada):
    secret = make(ada, "for CI")
    with ada.page.expect_download() as download:
        ada.page.get_by_role("button", name=button, exact=True).click()
    assert download.value.suggested_filename == name
    assert download.value.path().read_text() == text.format(secret)
    expect(ada.page.locator("#copied")).to_contain_text("Downloaded")


@pytest.mark.parametrize("stored_by_button", [None, "Copy", "Download"])
def test_leaving_is_asked_about_until_the_token_is_stored(stored_by_button, ada):
    ada.context.grant_permissions(["clipboard-read", "clipboard-write"])
    secret = make(ada, "guarded")
    page = ada.page
    asked = []

    def stay(dialog):
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    leave = page.get_by_role("navigation", name="Main").get_by_role("link", name="Teams")
    leave.click(no_wait_after=True)
    until(lambda: page.evaluate("true") and asked == ["beforeunload"])
    assert page.get_by_label("Token", exact=True).inner_text() == secret
    if stored_by_button:
        page.get_by_role("button", name=stored_by_button, exact=True).click()
        expect(page.locator("#copied")).not_to_be_empty()
        leave.click()
        expect(page.locator("h1")).to_have_text("Teams")
        assert asked == ["beforeunload"]
