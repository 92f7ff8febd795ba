"""Runs the recipes for proxies: between the test's client and a service that verifies nothing."""

import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from guards import guarding, with_guard
from recipes import GUARD_RECIPES, RECIPES
from tls import in_front_of
from tokens import AUDIENCE, Authority

# Those that send jeton a subrequest.
FORWARD_AUTH = ["nginx", "caddy", "traefik", "envoy"]
# Those that send it to a guard.
GUARDED = [f"guard-{name}" for name in (*FORWARD_AUTH, "haproxy")]
NAMES = [*FORWARD_AUTH, "haproxy", "apache-jwks", "apache-introspection"]
STARTS_WITHIN_SECONDS = 30
STOPS_WITHIN_SECONDS = 30
APACHE_MODULES = Path("/usr/lib/apache2/modules")
# The programs of tests/interop/requirements.txt.
INSTALLED = Path(sys.executable).parent


class Service:
    """The service behind a proxy: returns each request's headers, and counts requests."""

    def __init__(self):
        service = self
        self.requests = 0
        self.status = 200

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                service.requests += 1
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                body = json.dumps(self.headers.items()).encode()
                self.send_response(service.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *arguments):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        # A proxy that closes an idle connection is not an error.
        self._server.handle_error = lambda *_: None
        self.address = f"127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


class Proxy:
    """A running proxy and the service behind it."""

    def __init__(self, name: str, url: str, service: Service, folder: Path):
        self.name = name
        self.url = url
        self.service = service
        self.folder = folder

    def ask(self, token: str | None, headers=(), method: str = "GET", **request) -> httpx.Response:
        credentials = [] if token is None else [("Authorization", f"Bearer {token}")]
        return httpx.request(method, self.url, headers=[*credentials, *headers], timeout=30, **request)

    def passes(self, token: str, headers=(), **request) -> list[tuple[str, str]]:
        """Fails the test unless the service answers; returns the headers that the service received."""
        before = self.service.requests
        answer = self.ask(token, headers, **request)
        assert answer.status_code == 200, (answer, answer.text)
        assert self.service.requests == before + 1
        return [(name.lower(), value) for name, value in answer.json()]

    def stops(self, token: str | None, *statuses: int, headers=()) -> httpx.Response:
        """Fails the test unless the proxy answers with one of these statuses and the service gets no request."""
        before = self.service.requests
        answer = self.ask(token, headers)
        assert answer.status_code in statuses, (answer, answer.text)
        assert self.service.requests == before, "the request reached the service"
        return answer


@contextmanager
def in_between(name, authority, folder, change=lambda text: text):
    """Starts the proxy of a recipe, with a service behind it; `change` breaks the recipe for control tests."""
    address = free_address()
    with Service() as service:
        places = {"proxy": address, "service": service.address}
        if name in FORWARD_AUTH:
            text = change(forward_auth(name, authority.issuer, **places))
            with asking(name, text, folder, address) as url:
                yield Proxy(name, url, service, folder)
        elif name in GUARDED:
            with guarding(authority, folder) as guard:
                proxy = name.removeprefix("guard-")
                if proxy == "haproxy":
                    lua = folder / "jeton.lua"
                    lua.write_text(change(GUARD_RECIPES["guard-haproxy-lua"].filled(guard=guard.url)))
                    text = with_guard(proxy, guard.url, lua=str(lua), **places)
                else:
                    text = with_guard(proxy, guard.url, **written(proxy, guard.url, **places))
                with asking(proxy, change(text), folder, address) as url:
                    yield Proxy(name, url, service, folder)
        elif name == "haproxy":
            revoked = folder / "revoked"
            revoked.touch()
            key = public_key(authority, folder)
            text = recipe(name, authority, change, public_key=str(key), revoked=str(revoked), **places)
            with running_proxy(haproxy(text, folder), address, folder):
                yield Proxy(name, f"http://{address}/", service, folder)
        else:
            with in_front_of(authority.issuer, folder) as (https, certified):
                values = {"tls": https, "service": service.address}
                if name == "apache-introspection":
                    values["introspector"] = authority.introspector()
                text = recipe(name, authority, change, **values)
                with running_proxy(apache(text, folder, address, certified), address, folder):
                    yield Proxy(name, f"http://{address}/", service, folder)


@contextmanager
def folder_for_others():
    """A directory for Apache's workers, whose user has no access to pytest's directories."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def free_address() -> str:
    """Returns a port below the ephemeral range, so that no other process gets it before the proxy does."""
    while True:
        port = random.randrange(10240, 32768)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return f"127.0.0.1:{port}"


@contextmanager
def running_proxy(command: list, address: str, folder: Path):
    """Starts a proxy in the foreground, waits until it listens, and stops it."""
    log = folder / "output"
    host, port = address.split(":")
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin", "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        deadline = time.monotonic() + STARTS_WITHIN_SECONDS
        while True:
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
                break
            except OSError:
                time.sleep(0.02)
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOPS_WITHIN_SECONDS)
        finally:
            process.kill()
            process.wait()


@contextmanager
def asking(name: str, text: str, folder: Path, address: str):
    """Starts a proxy that asks another program about each request; yields its URL."""
    url = f"http://{address}/"
    with running_proxy(COMMANDS[name](text, folder, address), address, folder):
        while name == "traefik" and httpx.get(url).status_code == 404:
            time.sleep(0.02)  # It listens before it has read its routes.
        yield url


def forward_auth(name: str, authority: str, **places: str) -> str:
    """Returns the recipe of a proxy that asks the authority at this URL."""
    return RECIPES[name].filled(issuer=authority, audience=AUDIENCE, **written(name, authority, **places))


def written(name: str, asked: str, *, proxy: str, service: str) -> dict[str, str]:
    """Returns the places of a recipe as it writes them. `asked` is the URL of the program that the proxy asks."""
    if name == "traefik":
        return {"service": service}  # Its own address is on the command line.
    if name == "envoy":
        places = {"asked": asked, "service": service, "proxy": proxy}
        return {f"{place}_port": f"port_value: {value.rpartition(':')[2]} " for place, value in places.items()}
    return {"service": service, "proxy": proxy}


def recipe(name: str, authority: Authority, change=lambda text: text, **values: str) -> str:
    text = RECIPES[name].filled(issuer=authority.issuer, audience=AUDIENCE, **values)
    return change(text).replace("ES256", authority.algorithm)


def nginx(text: str, folder: Path, _: str) -> list:
    """The recipe is a file of `sites-enabled`, within the settings of Debian's nginx.conf."""
    temporary = "".join(
        f"    {kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;\n" if os.geteuid() == 0 else ""
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"{user}daemon off;\nworker_processes 1;\npid {folder}/pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{\n    access_log off;\n{temporary}{text}}}\n"
    )
    return ["nginx", "-e", "stderr", "-c", configuration]


def caddy(text: str, folder: Path, _: str) -> list:
    configuration = folder / "Caddyfile"
    configuration.write_text(f"{{\n\tadmin off\n}}\n{text}")
    return ["caddy", "run", "--config", configuration, "--adapter", "caddyfile"]


def traefik(text: str, folder: Path, address: str) -> list:
    configuration = folder / "jeton.yml"
    configuration.write_text(text)
    return [
        *(INSTALLED / "traefik", f"--entrypoints.api.address={address}", f"--providers.file.filename={configuration}"),
        # Neither asks for newer versions nor reports its use.
        *("--global.checknewversion=false", "--global.sendanonymoususage=false"),
    ]


def envoy(text: str, folder: Path, _: str) -> list:
    configuration = folder / "envoy.yaml"
    configuration.write_text(text)
    # Several Envoys of one machine would share memory for restarts.
    return [INSTALLED / "envoy", "--disable-hot-restart", "--concurrency", "1", "-c", configuration]


def haproxy(text: str, folder: Path, _: str = "") -> list:
    configuration = folder / "haproxy.cfg"
    configuration.write_text(
        f"global\n    stats socket {folder}/socket level admin\n"
        f"defaults\n    timeout connect 5s\n    timeout client 30s\n    timeout server 30s\n{text}"
    )
    return ["haproxy", "-db", "-f", configuration]


COMMANDS = {"nginx": nginx, "caddy": caddy, "traefik": traefik, "envoy": envoy, "haproxy": haproxy}


def apache(text: str, folder: Path, address: str, certificate: Path) -> list:
    """The recipe is in a virtual host, within the settings of Debian's apache2.conf and `a2enmod`."""
    modules = {
        "mpm_event": "mpm_event",
        "authn_core": "authn_core",
        "authz_core": "authz_core",
        "authz_user": "authz_user",
        "auth_openidc": "auth_openidc",
        "proxy": "proxy",
        "proxy_http": "proxy_http",
    }
    loaded = "".join(
        f"LoadModule {name}_module {APACHE_MODULES}/mod_{file}.so\n" for name, file in modules.items()
    )
    user = "User www-data\nGroup www-data\n" if os.geteuid() == 0 else ""
    configuration = folder / "apache2.conf"
    configuration.write_text(
        f"ServerRoot {folder}\nServerName localhost\nPidFile {folder}/pid\nErrorLog {folder}/errors\n"
        f"Mutex file:{folder}\n"
        f"{user}{loaded}Listen {address}\nOIDCCABundlePath {certificate}\n"
        f"<VirtualHost {address}>\n{text}</VirtualHost>\n"
    )
    return ["apache2", "-DFOREGROUND", "-f", configuration]


def public_key(authority: Authority, folder: Path) -> Path:
    """Returns the public key, like `openssl pkey -pubout`."""
    path = folder / "jeton.pem"
    path.write_bytes(authority.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path
