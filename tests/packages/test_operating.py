"""A day of an operator with the Debian package: set-up with TLS, monitoring, an alert and its runbook, an upgrade under
load, a restore drill.

The tests are one story and run in this order. `make package-test` runs them, as root.
"""

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
from chroot import Chroot
from test_debian import OLDER, PASSWORD, mode, packages
from unit import Running, Unit

CONFIG = "/etc/jeton/jeton.toml"
JETON = f"jeton --config {CONFIG}"
EXPRESSION = re.compile(r'"expr": "((?:[^"\\]|\\.)*)"')


@pytest.fixture(scope="module")
def present(tmp_path_factory):
    return packages(tmp_path_factory.mktemp("present"))


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    assert os.geteuid() == 0, "these tests make a system in a folder, which needs root"
    system = Chroot(tmp_path_factory.mktemp("operated") / "root")
    system.install(packages(tmp_path_factory.mktemp("older"), DEB_VERSION=OLDER)["jeton"])
    return system


@pytest.fixture(scope="module")
def held():
    """The socket of jeton.socket, which systemd holds over a restart."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        yield listening


@pytest.fixture(scope="module")
def story():
    """What an operator keeps from one step to the next."""
    return {}


class Service:
    """jeton.service on its socket."""

    def __init__(self, system: Chroot, held: socket.socket):
        self.unit = Unit(system, "jeton.service")
        self.held = held
        self.running = None

    def start(self) -> Running:
        words = self.unit.words(self.unit.all("ExecStart")[0])
        # It is the first process of its namespace.
        command = self.unit.chroot.command(*words[:3], "LISTEN_FDS=1", "LISTEN_PID=1", *words[3:])
        give = ["bash", "-c", f'exec 3<&{self.held.fileno()}; exec "$@"', "give"]
        self.running = Running([*give, *command], pass_fds=[self.held.fileno()])
        return self.running

    def signal(self, number: int) -> None:
        parent = str(self.running.process.pid)
        for pid in subprocess.run(["pgrep", "--parent", parent], text=True, stdout=subprocess.PIPE).stdout.split():
            os.kill(int(pid), number)


class Client:
    """A client that trusts the certificate of the deployment."""

    def __init__(self, system: Chroot, held: socket.socket):
        self.url = f"https://127.0.0.1:{held.getsockname()[1]}"
        self.certificate = system.path("/etc/jeton/tls.crt")

    def ask(self, path: str, token: str | None = None, **body) -> tuple[int, dict]:
        request = urllib.request.Request(f"{self.url}{path}", json.dumps(body).encode() if body else None)
        request.add_header("Content-Type", "application/json")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            # Each on a connection of its own.
            context = ssl.create_default_context(cafile=self.certificate)
            with urllib.request.urlopen(request, timeout=60, context=context) as answer:
                return answer.status, json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())


@pytest.fixture(scope="module")
def service(system, held):
    service = Service(system, held)
    yield service
    if service.running and service.running.process.poll() is None:
        service.running.stop()


@pytest.fixture(scope="module")
def client(system, held):
    return Client(system, held)


def test_init_with_tls_makes_a_deployment_that_issues_a_token(system, service, client, story):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
         "-keyout", system.path("/etc/jeton/tls.key"), "-out", system.path("/etc/jeton/tls.crt"), "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    system.run("chgrp", "jeton", "/etc/jeton/tls.key")
    system.run("chmod", "640", "/etc/jeton/tls.key")
    system.run("jeton", "init", "--user=jeton", f"--config={CONFIG}", "--folder=/var/lib/jeton", f"--issuer={client.url}",
               "--email=admin@example.com", "--listen=127.0.0.1:0", "--tls-certificate=/etc/jeton/tls.crt",
               "--tls-key=/etc/jeton/tls.key", "--password-stdin", input=f"{PASSWORD}\n")
    for folder in ["/mnt/backup", "/mnt/journal"]:
        system.run("install", "--directory", "--owner=jeton", "--mode=0700", folder)
    settings = system.path(CONFIG)
    settings.write_text(settings.read_text() + '\n[metrics]\nlisten = "127.0.0.1:0"\n[backup]\nevery = "1h"\nkeep = 3\n'
                        'folder = "/mnt/backup"\n[journal]\ncopy = "/mnt/journal"\n')
    assert mode(system, CONFIG) == ("640", "root:jeton")
    server = service.start()
    assert server.address == client.url
    story["metrics"] = server.wait_for(r"serving metrics listen=(\S+)")[1]
    status, login = client.ask("/api/v1/login", email="admin@example.com", password=PASSWORD)
    assert status == 200, login
    story["session"] = login["token"]
    for name in ["kept", "revoked"]:
        status, made = client.ask("/api/v1/tokens", login["token"], name=name, organization="default")
        assert status == 201, made
        story[name] = made["token"]
    number = client.ask("/api/v1/tokens/current", story["revoked"])[1]["id"]
    assert client.ask(f"/api/v1/tokens/{number}/revoke", login["token"], reason="a test")[0] == 201
    assert client.ask("/api/v1/tokens/current", story["revoked"])[0] == 401


class Prometheus:
    """Debian's Prometheus, with the rules of the package."""

    def __init__(self, system: Chroot, target: str, folder):
        rules = system.path("/usr/share/jeton/monitoring/alerts.yml").read_text()
        # promtool tests how long an alert waits.
        folder.joinpath("alerts.yml").write_text(re.sub(r"for: \S+", "for: 2s", rules))
        folder.joinpath("prometheus.yml").write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [alerts.yml]\n"
            f"scrape_configs: [{{job_name: jeton, static_configs: [{{targets: ['{target}']}}]}}]\n")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.log = open(folder / "log", "w")
        self.process = subprocess.Popen(
            ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{port}"],
            cwd=folder, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def query(self, expression: str) -> list:
        path = "/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return json.load(answer)["data"]["result"]

    def wait(self, condition, what: str):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                if condition():
                    return
            except OSError:
                pass
            time.sleep(0.2)
        raise AssertionError(f"not within a minute: {what}")

    def fires(self, alert: str) -> bool:
        return bool(self.query(f'ALERTS{{alertname="{alert}",alertstate="firing"}}'))

    def __enter__(self):
        self.wait(lambda: self.query("count_over_time(up[1m]) > 5"), "scrapes")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=30)
        self.log.close()


def test_the_dashboard_shows_the_server_and_an_alert_ends_with_its_runbook(system, service, story, tmp_path):
    with Prometheus(system, story["metrics"], tmp_path) as prometheus:
        dashboard = system.path("/usr/share/jeton/monitoring/dashboard.json").read_text()
        expressions = [json.loads(f'"{text}"') for text in EXPRESSION.findall(dashboard)]
        assert len(expressions) > 40
        filled = []
        for expression in expressions:
            for variable, value in [("$__rate_interval", "30s"), ("$__range", "1m"), ("$__interval", "1s")]:
                expression = expression.replace(variable, value)
            expression = re.sub(r"\$\{?\w+(:\w+)?\}?", ".*", expression)
            if prometheus.query(expression):
                filled.append(expression)
        # What never happened has no series.
        assert len(filled) > len(expressions) * 2 / 3, sorted(set(expressions) - set(filled))
        assert not prometheus.query('ALERTS{alertstate="firing"}')

        settings = system.path(CONFIG)
        right = settings.read_text()
        settings.write_text(right.replace("[backup]", "[bakcup]"))
        service.signal(signal.SIGHUP)
        prometheus.wait(lambda: prometheus.fires("JetonReloadFailed"), "JetonReloadFailed fires")
        # Its runbook, step by step.
        service.running.wait_for("the configuration is refused.*bakcup")
        checked = service.unit.run(f"{JETON} serve --check-config", check=False)
        assert checked.returncode == 1 and "bakcup" in checked.stdout
        settings.write_text(right)
        assert "is valid" in service.unit.run(f"{JETON} serve --check-config").stdout
        service.signal(signal.SIGHUP)
        service.running.wait_for("configuration reloaded")
        prometheus.wait(lambda: not prometheus.fires("JetonReloadFailed"), "JetonReloadFailed ends")


def test_an_upgrade_under_load_refuses_no_connection(system, present, service, client, story):
    stop, failures, answered = threading.Event(), [], [0] * 4

    def load(number: int):
        while not stop.is_set():
            try:
                status = client.ask("/api/v1/tokens/current", story["kept"])[0]
                assert status == 200, status
                answered[number] += 1
            except Exception as error:
                failures.append(repr(error))

    clients = [threading.Thread(target=load, args=[number]) for number in range(4)]
    for each in clients:
        each.start()
    try:
        before = service.running
        service.signal(signal.SIGTERM)
        assert before.process.wait(timeout=30) == 0, before.output
        # Nobody listens now; the socket does.
        system.install(present["jeton"])
        version = system.run("dpkg-query", "--show", "--showformat=${Version}", "jeton").stdout
        assert version != OLDER
        counted = sum(answered)
        server = service.start()
        story["metrics"] = server.wait_for(r"serving metrics listen=(\S+)")[1]
        end = time.monotonic() + 30
        while sum(answered) < counted + 100 and time.monotonic() < end:
            time.sleep(0.05)
    finally:
        stop.set()
        for each in clients:
            each.join()
        before.process.stdout.close()
    assert not failures, failures[:3]
    assert sum(answered) >= counted + 100
    assert client.ask("/api/v1/tokens/current", story["revoked"])[0] == 401


def test_a_restore_drill_of_the_scheduled_backup_succeeds(system, service, story):
    end = time.monotonic() + 30
    while not list(system.path("/mnt/backup").glob("jeton-*.db")):
        assert time.monotonic() < end, service.running.output
        time.sleep(0.1)
    said = service.unit.run(f"{JETON} restore --drill").stdout
    assert "can be restored" in said
    with_copy = service.unit.run(f"{JETON} restore --drill --journal /mnt/journal").stdout
    assert "can be restored" in with_copy
    # The control: a private key is gone.
    keys = list(system.path("/var/lib/jeton/keys").glob("*.pem"))
    for key in keys:
        key.rename(key.with_suffix(".away"))
    failed = service.unit.run(f"{JETON} restore --drill", check=False)
    assert failed.returncode == 1 and "is missing" in failed.stdout, failed.stdout
    for key in keys:
        key.with_suffix(".away").rename(key)
