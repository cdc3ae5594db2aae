"""A small server that speaks Artifactory's paths: storage API, download, token check.

It serves a folder (``REPOSITORY/PATH``) and goes wrong in the ways that tests ask for.
"""

import argparse
import hashlib
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

API = "/artifactory/api/storage/"
ROOT = "/artifactory/"
MOVED = "/artifactory/moved/"
"""Where downloads are, too."""
SIGNATURE = "X-Amz-Signature=the-signature-of-the-storage"


@dataclass(slots=True)
class Repositories:
    """What is served, to whom, and what goes wrong."""

    folder: Path
    token: str | None = field(default=None, repr=False)
    faults_file: Path | None = None
    header: tuple[str, str] | None = field(default=None, repr=False)
    """Name and value of the header that opens it, if that is not the token's."""
    is_storage: bool = False
    """Whether it is a cloud's storage: it wants a signature in the URL, and refuses
    requests that have any other credential besides, as S3 does."""
    requests: list[str] = field(default_factory=list)
    """Method and path of every request that came."""
    received: list[str] = field(default_factory=list)
    """The whole head of every request that came, as it was received."""
    downloaded: set[str] = field(default_factory=set)
    """What has been downloaded, and so is cached if the repository is a remote one."""

    def fault(self, name: str) -> Any:
        """The fault of this name that the faults file asks for.

        ``checksum`` (``wrong`` or ``none``), ``truncate`` (bytes to send at most),
        ``status`` (answer with it), ``fail_first`` (how many requests get 503),
        ``remote`` (describe no file before it was downloaded), ``api_status`` (what the
        storage API answers to everybody), ``redirect`` (where downloads are redirected
        to: the beginning of a URL, or of a path below ``/artifactory/moved``),
        ``page`` (a web page in place of every download), ``stated`` (the SHA-256 in the
        head of what downloads are answered with).
        """
        try:
            text = self.faults_file.read_text() if self.faults_file else "{}"
        except FileNotFoundError:
            return None
        return json.loads(text).get(name)

    def file(self, path: str) -> Path | None:
        """The file behind a path; None if there is none inside the folder."""
        found = (self.folder / path).resolve()
        inside = found.is_relative_to(self.folder.resolve())
        return found if inside and found.is_file() else None


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    repositories: Repositories

    def do_GET(self) -> None:
        """Answer the storage API and downloads."""
        served = self.repositories
        served.requests.append(f"GET {self.path}")
        served.received.append(f"{self.requestline}\n{self.headers}")
        status = served.fault("status")
        if len(served.requests) <= (served.fault("fail_first") or 0):
            status = HTTPStatus.SERVICE_UNAVAILABLE
        status = status or self._refused_credential()
        path, _, _ = self.path.partition("?")
        if path.startswith(API):
            status = status or served.fault("api_status")
        if status is not None:
            self._refuse(status)
        elif path.startswith(API):
            self._describe(path.removeprefix(API))
        elif path.startswith(MOVED):
            self._download(path.removeprefix(MOVED))
        elif (target := served.fault("redirect")) is not None:
            self._redirect(target + path.removeprefix(ROOT))
        else:
            self._download(path.removeprefix(ROOT))

    def _refused_credential(self) -> HTTPStatus | None:
        """The status for a request that may not have what it asks for."""
        served = self.repositories
        if served.is_storage:
            if "Authorization" in self.headers:
                return HTTPStatus.BAD_REQUEST
            return None if SIGNATURE in self.path else HTTPStatus.FORBIDDEN
        if served.token is None:
            return None
        name, value = served.header or ("Authorization", f"Bearer {served.token}")
        given = self.headers.get(name)
        if given is None:
            return HTTPStatus.UNAUTHORIZED
        return None if given == value else HTTPStatus.FORBIDDEN

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet; requests are kept in a list."""

    def _describe(self, path: str) -> None:
        served, file = self.repositories, self.repositories.file(path)
        if file is None or (served.fault("remote") and path not in served.downloaded):
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        content = file.read_bytes()
        sums = {"sha256": hashlib.sha256(content).hexdigest()}
        fault = self.repositories.fault("checksum")
        if fault == "wrong":
            sums["sha256"] = "0" * 64
        if fault == "none":
            del sums["sha256"]
        repository, _, inner = path.partition("/")
        description = {
            "repo": repository,
            "path": f"/{inner}",
            "size": str(len(content)),
            "checksums": sums,
            "downloadUri": f"http://{self.headers['Host']}{ROOT}{path}",
        }
        self._answer(HTTPStatus.OK, json.dumps(description).encode())

    def _download(self, path: str) -> None:
        file = self.repositories.file(path)
        if file is None:
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        content = file.read_bytes()
        if page := self.repositories.fault("page"):
            self._answer(HTTPStatus.OK, page.encode(), kind="text/html; charset=utf-8")
            return
        longest = self.repositories.fault("truncate")
        self.repositories.downloaded.add(path)
        self._answer(HTTPStatus.OK, content, content[:longest])
        if longest is not None:
            self.close_connection = True

    def _redirect(self, target: str) -> None:
        """To a path of this server, or to the storage that has the file."""
        signature = f"?X-Amz-Expires=30&{SIGNATURE}" if "://" in target else ""
        self.send_response(HTTPStatus.FOUND)
        self._state_sum()
        self.send_header("Location", target + signature)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _state_sum(self) -> None:
        if stated := self.repositories.fault("stated"):
            self.send_header("X-Checksum-Sha256", stated)

    def _refuse(self, status: int) -> None:
        errors = [{"status": status, "message": HTTPStatus(status).phrase}]
        self._answer(status, json.dumps({"errors": errors}).encode())

    def _answer(
        self,
        status: int,
        body: bytes,
        sent: bytes | None = None,
        kind: str = "application/octet-stream",
    ) -> None:
        self.send_response(status)
        self._state_sum()
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if sent is None else sent)


def make_server(
    repositories: Repositories, address: str, port: int
) -> ThreadingHTTPServer:
    """A server that is bound and not yet serving; port 0 takes a free one."""
    handler = type("BoundHandler", (Handler,), {"repositories": repositories})
    return ThreadingHTTPServer((address, port), handler)


@contextmanager
def serving(
    repositories: Repositories, tls: ssl.SSLContext | None = None
) -> Iterator[str]:
    """Serve on a free port of the loopback while inside; yields the base URL.

    With TLS it is ``localhost``.
    """
    with make_server(repositories, "127.0.0.1", 0) as server:
        place = f"http://127.0.0.1:{server.server_port}"
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
            place = f"https://localhost:{server.server_port}"
        serve = partial(server.serve_forever, 0.05)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield place + ROOT.rstrip("/")
        finally:
            server.shutdown()
            thread.join()


def main() -> None:
    """Serve until killed; the token comes from a file, never from the command line."""
    parser = argparse.ArgumentParser(prog="python -m lab.artifactory.server")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8081)
    parser.add_argument("--token-file", type=Path)
    parser.add_argument("--faults-file", type=Path)
    parser.add_argument("--certificate", type=Path, help="key and chain, for TLS")
    arguments = parser.parse_args()
    token = arguments.token_file.read_text().strip() if arguments.token_file else None
    repositories = Repositories(arguments.folder, token, arguments.faults_file)
    server = make_server(repositories, arguments.address, arguments.port)
    if arguments.certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(arguments.certificate)
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
