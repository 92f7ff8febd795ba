"""Pictures of the main pages, light and dark. `make screenshots` keeps them in docs/console."""

import contextlib
import os
import sqlite3
import time
from pathlib import Path

import pytest
from playwright.sync_api import Error
from world import ADA, Person, World, chromium, inhabited

ADMIN = "admin@example.org"
# What was issued, revoked and expired on each of the 29 days before today.
LAST_MONTH = [(7 + day * 5 % 11, day * 3 % 5, 2 + day % 3) for day in range(29)]


def of_token(person: Person) -> None:
    person.page.locator("summary", has_text="Rotate").click()


def of_scopes(person: Person) -> None:
    person.page.get_by_label("Name", exact=True).fill("deploy from CI")
    person.page.get_by_label("These scopes").check()


def of_incident(person: Person) -> None:
    person.page.get_by_label("Token or jti").fill(person.world.secrets["maker"])
    person.page.get_by_role("button", name="Examine it").click()
    person.page.get_by_text("Whose").wait_for()


def of_keys(person: Person) -> None:
    # Only once: there is one successor at a time.
    if person.page.locator("tbody tr").count() == 1:
        person.page.get_by_role("button", name="Rotate").click()
        person.page.locator("tbody tr").nth(1).wait_for()


PICTURES = {
    "home": (ADA, "o/acme/", None),
    "tokens": (ADA, "o/acme/tokens?status=active&sort_by=last_used_at", None),
    "create": (ADA, "o/acme/tokens/new", of_scopes),
    "token": (ADA, "tokens/{deploy from CI}", of_token),
    "incident": (ADA, "incident", of_incident),
    "keys": (ADMIN, "keys", of_keys),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("screenshots")
    with inhabited(folder) as world:
        if (database := folder / "jeton.db").exists():
            live_for_a_month(world, database)
        yield world


def live_for_a_month(world: World, database: Path) -> None:
    """Writes what the server would have counted if most tokens had been issued within the month before today."""
    records = sum(world.ask("GET", "organizations/acme/summary").json()[kind] for kind in ("active", "expired", "revoked"))
    # The counts of a day follow its records within a second.
    deadline = time.monotonic() + 30
    while world.ask("GET", "statistics?organization=acme").json()["days"][-1]["issued"] != records:
        assert time.monotonic() < deadline, "the counts do not follow"
        time.sleep(0.1)
    before = sum(issued - revoked - expired for issued, revoked, expired in LAST_MONTH)
    with contextlib.closing(sqlite3.connect(database, timeout=30)) as connection, connection:
        (organization,) = connection.execute("SELECT id FROM organizations WHERE name = 'acme'").fetchone()
        today = int(time.time()) // 86400
        for ago, counts in enumerate(reversed(LAST_MONTH), 1):
            connection.execute(
                "INSERT OR REPLACE INTO statistics VALUES (?, ?, ?, ?, ?)", (organization, today - ago, *counts)
            )
        connection.execute(
            "UPDATE statistics SET issued = issued - ? WHERE organization = ? AND day = ?", (before, organization, today)
        )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    kept = os.environ.get("SCREENSHOTS")
    if not kept:
        return tmp_path_factory.mktemp("pictures")
    folder = Path(__file__).parents[2] / kept
    folder.mkdir(exist_ok=True)
    return folder


def take(person: Person, picture: Path) -> None:
    """Chromium refuses a picture sometimes just after a page has changed."""
    for attempt in range(5):
        try:
            person.page.screenshot(path=picture, animations="disabled")
        except Error:
            if attempt == 4:
                raise
            time.sleep(0.5)
        else:
            return


def test_pictures(world, folder):
    with chromium() as browser:
        for name, (email, path, steps) in PICTURES.items():
            with Person(world, browser, email) as person:
                for colours in ("light", "dark"):
                    person.page.emulate_media(color_scheme=colours, reduced_motion="reduce")
                    person.goes_to(path.format_map(world.ids))
                    if steps:
                        steps(person)
                    picture = folder / f"{name}-{colours}.png"
                    take(person, picture)
                    assert picture.stat().st_size < 150_000
                assert not person.watch.complaints
    light, dark = ((folder / f"home-{colours}.png").read_bytes() for colours in ("light", "dark"))
    assert light != dark
