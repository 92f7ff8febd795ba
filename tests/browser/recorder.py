"""A proxy that records what a browser and a server say to each other. The browser notices nothing of it."""

import http.client
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Exchange:
    """A request and its answer."""

    method: str
    url: str
    sent: str = field(repr=False)
    status: int
    headers: str = field(repr=False)
    body: str = field(repr=False)


@contextmanager
def recording():
    """Runs the proxy. Yields its address, and the list of exchanges, which grows."""
    exchanges: list[Exchange] = []

    class Forward(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self):
            address = urlsplit(self.path)
            sent = self.rfile.read(int(self.headers.get("content-length", 0)))
            connection = http.client.HTTPConnection(address.netloc, timeout=30)
            path = address.path + (f"?{address.query}" if address.query else "")
            headers = {name: value for name, value in self.headers.items() if not name.lower().startswith("proxy-")}
            connection.request(self.command, path, sent or None, headers | {"Accept-Encoding": "identity"})
            answer = connection.getresponse()
            body = answer.read()
            connection.close()
            exchanges.append(
                Exchange(
                    self.command,
                    self.path,
                    sent.decode(),
                    answer.status,
                    str(answer.headers),
                    body.decode(errors="replace"),
                )
            )
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = forward

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Forward) as proxy:
        proxy.daemon_threads = True
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{proxy.server_port}", exchanges
        finally:
            proxy.shutdown()
            thread.join()
