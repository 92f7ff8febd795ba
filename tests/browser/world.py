"""A server with two organizations, and Chromium to look at its console with."""

import json
import os
import re
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from conftest import Server, running
from playwright.sync_api import Browser, BrowserContext, Page, Request, Response, sync_playwright

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
AXE = Path(__file__).parents[1] / "interop/node_modules/axe-core/axe.min.js"
PASSWORD = "correct horse battery staple"
# No name of the second organization contains a name of the first one: where it occurs, it was leaked.
FOREIGN = "zanzibar"
# More tokens than a page of the list has, and enough for a page to become too large.
MANY = 200
ACTS_WITHIN_MILLISECONDS = 10_000
CONFIGURATION = """
log.requests = "all"

[scopes]
available = [
    { name = "deploy:run", title = "Start a deployment", description = "Deploy any branch to any environment." },
    { name = "projects:read", title = "See projects" },
    { name = "content:write", title = "Write content", description = "Create and change pages." },
]

[presets]
deployment = { scopes = ["deploy:run", "projects:read"], description = "for pipelines that deploy" }
reading = ["projects:read"]
"""


@dataclass
class World:
    """The server, what is in it, and its log."""

    server: Server
    log: Path
    # Tokens by their names: the text, and the number.
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    ids: dict[str, str] = field(default_factory=dict)
    team: str = ""
    sessions: dict[str, str] = field(default_factory=dict, repr=False)
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=30), repr=False)

    @property
    def console(self) -> str:
        return f"{self.server.url}/console/"

    def session(self, email: str) -> str:
        """Returns a session of a person. It is the same at each call: hashing a password takes long."""
        if email not in self.sessions:
            password = self.server.password if email == self.server.email else PASSWORD
            answer = self.client.post(
                f"{self.server.url}/api/v1/login", json={"email": email, "password": password}
            )
            assert answer.status_code == 200, answer.text
            self.sessions[email] = answer.json()["token"]
        return self.sessions[email]

    def ask(self, method: str, path: str, body: object = None, token: str = "", email: str = "") -> httpx.Response:
        """Sends a request, of the site administrator unless told otherwise, and requires success."""
        token = token or self.session(email or self.server.email)
        answer = self.client.request(
            method, f"{self.server.url}/api/v1/{path}", json=body, headers={"Authorization": f"Bearer {token}"}
        )
        assert answer.is_success, (method, path, answer.text)
        return answer

    def issue(self, name: str, email: str = "", **wishes) -> str:
        """Creates a token and returns its number."""
        order = {"name": name, "organization": "acme", "owner": "organization", "expires_in": "90d"} | wishes
        answer = self.ask("POST", "tokens", order, email=email).json()
        self.secrets[name] = answer["token"]
        self.ids[name] = answer["token_info"]["id"]
        return self.ids[name]

    def is_active(self, name: str) -> bool:
        """Returns whether the server still accepts a token."""
        answer = self.client.get(
            f"{self.server.url}/api/v1/tokens/current", headers={"Authorization": f"Bearer {self.secrets[name]}"}
        )
        assert answer.status_code in (200, 401), answer.text
        return answer.status_code == 200


ADA = "ada@acme.example"
MAX = "max@acme.example"
VERA = "vera@acme.example"
IVY = "ivy@acme.example"


def seed(world: World, many: int) -> None:
    """Fills the server: `acme` with people, teams, projects and tokens in all states, and another organization."""
    for email, first, last in [
        (ADA, "Ada", "Lovelace"),
        (MAX, "Max", "Planck"),
        (VERA, "Vera", "Rubin"),
        (IVY, "Ivy", "Wu"),
        (f"zoe@{FOREIGN}.example", "Zoe", FOREIGN),
    ]:
        world.ask("POST", "users", {"email": email, "password": PASSWORD, "first_name": first, "last_name": last})
    for name in ("acme", "empty", f"{FOREIGN}-org"):
        world.ask("POST", "organizations", {"name": name})
    for organization, email, role in [
        ("acme", ADA, "admin"),
        ("acme", MAX, "member"),
        ("acme", VERA, "viewer"),
        ("empty", ADA, "admin"),
        (f"{FOREIGN}-org", f"zoe@{FOREIGN}.example", "admin"),
    ]:
        world.ask("PUT", f"organizations/{organization}/members/{email}", {"role": role})
    # She has to accept it, since it is not a site administrator who asks her.
    world.ask("PUT", f"organizations/acme/members/{IVY}", {"role": "member"}, email=ADA)
    world.team = world.ask("POST", "organizations/acme/teams", {"name": "platform"}).json()["id"]
    world.ask("POST", "organizations/acme/teams", {"name": "website"})
    world.ask("PUT", f"organizations/acme/teams/{world.team}/members/{MAX}", {"role": "member"})
    world.ask("POST", f"organizations/{FOREIGN}-org/teams", {"name": f"{FOREIGN}-pilots"})
    website = world.ask("POST", "organizations/acme/projects", {"name": "website"}).json()["id"]
    world.ask("POST", f"organizations/{FOREIGN}-org/projects", {"name": f"{FOREIGN}-project"})

    for number in range(many):
        world.issue(f"runner {number:03}", description="Of a build machine", scopes=["deploy:run", "projects:read"])
    world.issue("deploy from CI", description="The pipeline of the website", preset="deployment", projects=[website])
    world.issue("backup", owner="team", team="platform", scopes=["projects:read"], expires_in="never")
    world.issue("migration", expires_in="3d", description="Until the old system is off")
    world.issue("never used", scopes=["content:write"])
    world.issue("of Max", MAX, owner="user", scopes=["projects:read"])
    world.issue("maker", scopes=["tokens:write", "tokens:read", "projects:read"], expires_in="60d")
    made = {"name": "made by maker", "organization": "acme", "owner": "organization", "scopes": ["projects:read"]}
    answer = world.ask("POST", "tokens", made | {"expires_in": "7d"}, token=world.secrets["maker"]).json()
    world.secrets["made by maker"], world.ids["made by maker"] = answer["token"], answer["token_info"]["id"]
    world.issue("leaked", description="Was in a public repository")
    world.ask("POST", f"tokens/{world.ids['leaked']}/revoke", {"reason": "leaked"})
    world.issue("rotated")
    world.ask("POST", f"tokens/{world.ids['rotated']}/rotate", {"grace_period": "6h"})
    world.issue(f"{FOREIGN} token", organization=f"{FOREIGN}-org", description=f"secret of {FOREIGN}")
    for name in ("deploy from CI", "backup"):
        assert world.is_active(name)
    assert not world.is_active("leaked")


@contextmanager
def inhabited(folder: Path, many: int = MANY):
    """Serves a seeded database."""
    with running(folder, CONFIGURATION, consent="required") as server:
        world = World(server, folder / "log")
        with world.client:
            seed(world, many)
            yield world


@contextmanager
def chromium():
    """Starts Debian's Chromium. It loads nothing but what the tests ask for."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
            # As in a person's browser: Back may show a page as it was left.
            ignore_default_args=["--disable-back-forward-cache"],
        )
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Watch:
    """What went wrong on the pages of a person."""

    complaints: list[str] = field(default_factory=list)

    def follow(self, page: Page) -> None:
        page.on("console", lambda message: self.complain(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        page.on("requestfailed", self.failed)
        page.on("response", self.answered)

    def complain(self, kind: str, text: str) -> None:
        # That an answer is 4xx is an error for Chromium, and sometimes what a test is after.
        if kind in ("error", "warning") and "the server responded with a status of" not in text:
            self.complaints.append(f"{kind}: {text}")

    def failed(self, request: Request) -> None:
        # Who goes on before a page is there ends its requests.
        if request.failure != "net::ERR_ABORTED":
            self.complaints.append(f"failed: {request.url} {request.failure}")

    def answered(self, response: Response) -> None:
        if response.status >= 500:
            self.complaints.append(f"{response.status}: {response.url}")


# Chromium says in the console which inline script or style it blocked. The event says it too, where a page could have
# silenced the console.
REPORT_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) => {
    console.error(`violation of ${event.violatedDirective} by ${event.blockedURI}`);
});
"""


class Person:
    """Somebody with a browser of their own."""

    def __init__(self, world: World, browser: Browser, email: str = "", **options):
        self.world = world
        self.context: BrowserContext = browser.new_context(
            base_url=world.console, viewport={"width": 1280, "height": 800}, locale="en-GB", **options
        )
        self.context.set_default_timeout(ACTS_WITHIN_MILLISECONDS)
        if options.get("java_script_enabled", True):
            self.context.add_init_script(REPORT_VIOLATIONS)
        if email:
            cookie = {"name": "jeton", "value": world.session(email), "url": world.server.url}
            self.context.add_cookies([cookie | {"httpOnly": True, "sameSite": "Lax"}])
        self.watch = Watch()
        self.page: Page = self.context.new_page()
        self.watch.follow(self.page)

    def __enter__(self) -> "Person":
        return self

    def __exit__(self, *_) -> None:
        self.context.close()

    def goes_to(self, path: str) -> Page:
        """Opens a page of the console by its address."""
        self.page.goto(self.world.console + path)
        return self.page

    def heading(self) -> str:
        return self.page.locator("h1").inner_text()


def violations(page: Page, rules: list[str] | None = None) -> list[str]:
    """Returns what axe finds on a page: of WCAG 2.2 AA and of its best practices, or some rules alone."""
    if not page.evaluate("'axe' in window"):
        # The policy of the page forbids the element `script`; the debugger may do it nevertheless.
        page.evaluate(AXE.read_text())
    options = {"runOnly": {"type": "rule", "values": rules}} if rules else {}
    options |= {"resultTypes": ["violations"]}
    found = page.evaluate(f"axe.run(document, {json.dumps(options)})")["violations"]
    return [f"{one['id']}: {node['html']} {node['failureSummary']}" for one in found for node in one["nodes"]]


def unfold(page: Page) -> None:
    """Opens everything on a page that can be opened."""
    page.evaluate("for (const one of document.querySelectorAll('main details')) one.open = true")


def until(holds, seconds: float = 10) -> None:
    """Waits until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)


def number_in(path: str) -> str:
    """Returns the number of the token that an address is about."""
    found = re.search(r"tokens/(\d+)", path)
    assert found, path
    return found[1]
