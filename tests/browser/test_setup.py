"""The first start: a person with the code becomes the first administrator, and looks around."""

import os
import re
import signal
import subprocess
import time

import pytest
from conftest import BINARY
from world import PASSWORD, Watch, chromium


@pytest.fixture
def start(tmp_path):
    """The URL and the code of a first start."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("JETON_")}
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [BINARY, "serve", "--listen", "127.0.0.1:0"], cwd=tmp_path, env=environment, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + 30
        while "curl" not in log.read_text():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        text = log.read_text()
        yield re.search(r"at (http\S+)/console/setup ", text)[1], re.search(r"^the code, for one use: (\S+)$", text, re.M)[1]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


@pytest.mark.parametrize("script", [True, False], ids=["with a script", "without a script"])
def test_who_has_the_code_sets_up_signs_in_and_finds_the_reference(start, script):
    url, code = start
    watch = Watch()
    with chromium() as browser, browser.new_context(java_script_enabled=script) as context:
        page = context.new_page()
        watch.follow(page)
        # The address of the server leads there.
        page.goto(url)
        assert page.url == f"{url}/console/setup"

        def fill(code: str, password: str) -> None:
            page.get_by_label("Code").fill(code)
            page.get_by_label("Your e-mail address").fill("ada@example.org")
            page.get_by_label("A new password").fill(password)
            page.get_by_role("button", name="Set up").click()

        fill("wrong", PASSWORD)
        assert "The code is wrong" in page.get_by_role("alert").inner_text()
        fill(code, "password1")
        assert "password" in page.get_by_role("alert").inner_text()
        assert page.get_by_label("Your e-mail address").input_value() == "ada@example.org"
        fill(code, PASSWORD)
        page.get_by_role("heading", level=1, name="default", exact=True).wait_for()
        page.get_by_text("No tokens yet").wait_for()

        # A second person comes too late.
        with browser.new_context() as other:
            late = other.new_page()
            late.goto(f"{url}/console/setup")
            late.get_by_text("This deployment has its administrator").wait_for()
            late.goto(url)
            assert late.url == f"{url}/console/login"

        if script:
            page.get_by_role("contentinfo").get_by_role("link", name="API reference").click()
            page.get_by_role("link", name="Console", exact=True).click()
            page.get_by_role("heading", level=1, name="default", exact=True).wait_for()
    assert not watch.complaints
