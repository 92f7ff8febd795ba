"""The Debian packages, as an operator uses them: install, first start, upgrade, remove, purge.

The tests are one story and run in this order. `make package-test` runs them, as root.
"""

import json
import os
import re
import stat
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from chroot import ROOT, Chroot
from unit import Unit

PROFILE = os.environ.get("PROFILE", "quick")
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
OLDER = "0.0.1-1"
ISSUER = "https://tokens.example.com"
PASSWORD = "correct horse battery staple"


def packages(folder: Path, **environment: str) -> dict[str, Path]:
    subprocess.run([ROOT / "packaging/deb", TARGET, PROFILE, folder], check=True, env=os.environ | environment)
    return {path.name.split("_")[0]: path for path in folder.glob("*.deb")}


@pytest.fixture(scope="module")
def present(tmp_path_factory):
    return packages(tmp_path_factory.mktemp("present"))


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    assert os.geteuid() == 0, "these tests make a system in a folder, which needs root"
    return Chroot(tmp_path_factory.mktemp("system") / "root")


@pytest.fixture(scope="module")
def story():
    """What an operator keeps from one step to the next."""
    return {}


def ask(address: str, path: str, token: str | None = None, **body) -> tuple[int, dict]:
    request = urllib.request.Request(f"{address}{path}", json.dumps(body).encode() if body else None)
    request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def mode(system: Chroot, path: str) -> tuple[str, str]:
    """Returns the mode and the owner of a path, by the names of the system."""
    return tuple(system.run("stat", "--format=%a %U:%G", path).stdout.split())


def is_active(address: str, token: str) -> bool:
    return ask(address, "/api/v1/tokens/current", token)[0] == 200


def test_lintian_has_nothing_to_say(present):
    checked = subprocess.run(
        ["lintian", "--fail-on=error,warning", "--tag-display-limit=0", "--allow-root",
         *present.values()], text=True, capture_output=True)
    assert (checked.returncode, checked.stdout) == (0, ""), checked.stdout + checked.stderr


def test_a_first_installation_makes_the_user_and_starts_nothing(system, tmp_path):
    older = packages(tmp_path, DEB_VERSION=OLDER)
    said = system.install(older["jeton"])
    assert "its issuer cannot be changed after the first start" in said
    installed = system.run("dpkg-query", "--show", "--showformat=${db:Status-Status} ${Version}", "jeton").stdout
    assert installed == f"installed {OLDER}"
    assert "/var/lib/jeton:/usr/sbin/nologin" in system.run("getent", "passwd", "jeton").stdout
    assert mode(system, "/var/lib/jeton") == ("700", "jeton:jeton")
    assert mode(system, "/usr/bin/jeton") == ("755", "root:root")
    assert not list(system.path("/etc/systemd/system").rglob("jeton*"))
    assert not list(system.path("/var/lib/jeton").iterdir())


def test_every_file_belongs_to_root_and_nobody_else_may_change_it(system):
    for line in system.run("dpkg", "--listfiles", "jeton").stdout.split():
        status = system.path(line).lstat()
        assert status.st_uid == 0 and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH), line


def test_the_manual_has_a_page_for_each_command(system):
    helped = system.run("jeton", "--help").stdout
    commands = re.findall(r"^  ([a-z]+) ", helped.split("Commands:")[1].split("Options:")[0], re.MULTILINE)
    assert "serve" in commands
    for command in set(commands) - {"help"}:
        assert system.path(f"/usr/share/man/man1/jeton-{command}.1.gz").exists(), command


def test_the_rules_and_the_dashboard_are_there(system):
    assert {path.name for path in system.path("/usr/share/jeton/monitoring").iterdir()} >= {
        "alerts.yml", "dashboard.json"}


def test_the_licences_of_all_dependencies_are_there(system):
    text = system.run("zcat", "/usr/share/doc/jeton/THIRD-PARTY.gz").stdout
    for name in ["aws-lc-sys", "tokio", "Swagger UI", "libsqlite3-sys"]:
        assert name in text


@pytest.mark.parametrize("unit", ["jeton.service", "jeton.socket"])
def test_systemd_accepts_the_unit(system, unit):
    # It says nothing about a good unit.
    verified = system.run("systemd-analyze", "verify", f"/usr/lib/systemd/system/{unit}")
    assert verified.stdout == ""


def on_free_ports(system: Chroot) -> None:
    """The tests run beside others."""
    variables = system.path("/etc/default/jeton")
    variables.write_text(variables.read_text() + "JETON_LISTEN=127.0.0.1:0\n")
    settings = system.path("/etc/jeton/jeton.toml")
    settings.write_text(settings.read_text().replace("127.0.0.1:9464", "127.0.0.1:0"))


def test_init_writes_settings_and_database_for_the_service(system):
    system.run("jeton", "init", "--user=jeton", "--config=/etc/jeton/jeton.toml", "--folder=/var/lib/jeton",
               f"--issuer={ISSUER}", "--email=admin@example.com", "--listen=127.0.0.1:0", "--password-stdin",
               input=f"{PASSWORD}\n")
    assert mode(system, "/etc/jeton/jeton.toml") == ("640", "root:jeton")
    assert mode(system, "/var/lib/jeton/jeton.db") == ("600", "jeton:jeton")
    assert mode(system, "/var/lib/jeton/keys") == ("700", "jeton:jeton")
    on_free_ports(system)


def test_the_first_start_serves_and_issues_a_token(system, story):
    service = Unit(system, "jeton.service")
    with service.start() as server:
        status, login = ask(server.address, "/api/v1/login", email="admin@example.com", password=PASSWORD)
        assert status == 200, login
        story["session"] = login["token"]
        for name in ["kept", "revoked"]:
            status, made = ask(server.address, "/api/v1/tokens", login["token"], name=name, organization="default")
            assert status == 201, made
            story[name] = made["token"]
        assert is_active(server.address, story["kept"])
        number = ask(server.address, "/api/v1/tokens/current", story["revoked"])[1]["id"]
        status, revoked = ask(server.address, f"/api/v1/tokens/{number}/revoke", login["token"], reason="a test")
        assert status == 201, revoked
        assert not is_active(server.address, story["revoked"])
        assert ask(server.address, "/.well-known/oauth-authorization-server")[1]["issuer"] == ISSUER


def test_commands_run_as_the_service_user(system):
    service = Unit(system, "jeton.service")
    backup = service.run("jeton --config /etc/jeton/jeton.toml backup /var/lib/jeton/backup.db").stdout
    assert "backup.db" in backup
    assert mode(system, "/var/lib/jeton/backup.db") == ("600", "jeton:jeton")
    assert "signing" in service.run("jeton --config /etc/jeton/jeton.toml keys list").stdout


def test_the_guard_answers_beside_the_authority(system, present, story):
    said = system.install(present["jeton-guard"])
    assert "jeton-guard is installed, but not started" in said
    assert system.run("systemd-analyze", "verify", "/usr/lib/systemd/system/jeton-guard.service").stdout == ""
    assert mode(system, "/etc/jeton-guard/guard.toml") == ("640", "root:jeton-guard")
    service = Unit(system, "jeton.service")
    guard = Unit(system, "jeton-guard.service")
    refused = guard.run(guard.all("ExecStartPre")[0], check=False)
    assert refused.returncode == 2 and "`issuer` is missing" in refused.stdout
    with service.start() as server:
        status, made = ask(server.address, "/api/v1/tokens", story["session"], name="guard", owner="deployment",
                           scopes=["revocations:read"])
        assert status == 201, made
        token = system.path("/etc/jeton-guard/token")
        token.touch(0o600)
        token.write_text(made["token"])
        system.run("chown", "jeton-guard:", "/etc/jeton-guard/token")
        settings = system.path("/etc/jeton-guard/guard.toml")
        text = settings.read_text().replace("#issuer", "issuer").replace("#audience", "audience")
        text = text.replace("https://api.example.com", ISSUER).replace("127.0.0.1:8090", "127.0.0.1:0")
        text = text.replace("#[rules", "[rules").replace("#scopes", "scopes")
        settings.write_text(f'authority = "{server.address}"\n{text}')
        with guard.start() as running:
            running.wait_for("ready")
            checked = [
                subprocess.run(["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}",
                                "--header", f"Authorization: Bearer {story[name]}",
                                f"{running.address}/check/read-projects"], text=True, stdout=subprocess.PIPE).stdout
                for name in ["kept", "revoked"]
            ]
        assert checked == ["200", "401"], running.output
    assert mode(system, "/var/lib/jeton-guard/snapshot")[1] == "jeton-guard:jeton-guard"


def test_an_upgrade_keeps_settings_and_tokens(system, present, story):
    files = [system.path(path) for path in ["/etc/jeton/jeton.toml", "/etc/default/jeton"]]
    before = [file.read_text() for file in files]
    said = system.install(present["jeton"])
    assert "not started" not in said
    version = system.run("dpkg-query", "--show", "--showformat=${Version}", "jeton").stdout
    assert version != OLDER
    assert [file.read_text() for file in files] == before
    assert mode(system, "/etc/jeton/jeton.toml") == ("640", "root:jeton")
    with Unit(system, "jeton.service").start() as server:
        assert is_active(server.address, story["kept"])
        assert not is_active(server.address, story["revoked"])


def test_an_enabled_unit_stays_enabled_over_an_upgrade_and_is_gone_after_a_purge(system, present):
    system.run("systemctl", "enable", "jeton.service")
    wants = system.path("/etc/systemd/system/multi-user.target.wants/jeton.service")
    assert wants.is_symlink()
    assert system.path("/etc/systemd/system/sockets.target.wants/jeton.socket").is_symlink()
    system.run("dpkg", "--install", f"/root/{present['jeton'].name}")
    assert wants.is_symlink()


def test_removing_the_package_leaves_settings_and_data(system):
    system.run("apt-get", "remove", "--yes", "jeton")
    assert not system.path("/usr/bin/jeton").exists()
    assert system.path("/etc/jeton/jeton.toml").exists()
    assert system.path("/var/lib/jeton/jeton.db").exists()


def test_a_purge_leaves_the_data_and_says_so(system):
    said = system.run("apt-get", "purge", "--yes", "jeton").stdout
    assert "/var/lib/jeton is left" in said
    assert not system.path("/etc/jeton").exists()
    assert not system.path("/etc/default/jeton").exists()
    assert not list(system.path("/etc/systemd/system").rglob("jeton.*"))
    assert system.path("/var/lib/jeton/jeton.db").exists()
    assert list(system.path("/var/lib/jeton/keys").iterdir())


def test_a_purged_guard_leaves_nothing(system):
    system.run("apt-get", "purge", "--yes", "jeton-guard")
    assert not system.path("/var/lib/jeton-guard").exists()
    assert not list(system.path("/etc/systemd/system").rglob("jeton-guard*"))


def test_an_installation_after_a_purge_goes_on_with_the_data(system, present, story):
    said = system.install(present["jeton"])
    assert "not started" not in said
    # `jeton init` does not touch a database that is there. The example needs no issuer, which the database has.
    system.run("install", "--mode=0640", "--group=jeton", "/usr/share/jeton/jeton.toml", "/etc/jeton/jeton.toml")
    on_free_ports(system)
    with Unit(system, "jeton.service").start() as server:
        assert is_active(server.address, story["kept"])
        assert not is_active(server.address, story["revoked"])
        assert ask(server.address, "/.well-known/oauth-authorization-server")[1]["issuer"] == ISSUER
