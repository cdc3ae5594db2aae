"""AWS for tests: moto behind a server on loopback that counts, denies and edits calls.

The code under test uses real boto3 against it, so that what is tested is what runs.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from io import BytesIO
from threading import Thread
from typing import Any
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIEnvironment

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    create_backend_app,
)
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.test import run_wsgi_app
from werkzeug.wrappers import Request, Response

Edit = Callable[[str], str]


class _QuietHandler(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        """Say nothing: a test's output is about the test."""


@dataclass
class AwsServer:
    """A server that answers for AWS; start it, and stop it after use."""

    calls: list[str] = field(default_factory=list)
    """The actions called, as IAM names them, in order."""
    _refusals: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    _edits: dict[str, list[Edit]] = field(default_factory=dict)
    _lasting_edits: dict[str, Edit] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server(
            "127.0.0.1", 0, self._answer, threaded=True, request_handler=_QuietHandler
        )
        self._thread = Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def forget(self) -> None:
        """Answer as moto does, and count anew."""
        for kept in (self.calls, self._refusals, self._edits, self._lasting_edits):
            kept.clear()

    def refuse(self, action: str, code: str, message: str, status: int = 403) -> None:
        """Answer an action with an error from now on."""
        self._refusals[action] = (status, code, message)

    def edit_once(self, action: str, *edits: Edit) -> None:
        """Change the text of the next answers to an action, one edit each."""
        self._edits.setdefault(action, []).extend(edits)

    def edit(self, action: str, change: Edit) -> None:
        """Change the text of all answers to an action."""
        self._lasting_edits[action] = change

    def _answer(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        request = Request(environ)
        action = _action(request)
        environ["wsgi.input"] = BytesIO(request.get_data())  # moto reads it again
        self.calls.append(action)
        if action in self._refusals:
            return _refusal(action, *self._refusals[action])(environ, start_response)
        body, status, headers = run_wsgi_app(self._moto, environ, buffered=True)
        text = b"".join(body).decode()
        if self._edits.get(action):
            text = self._edits[action].pop(0)(text)
        elif action in self._lasting_edits:
            text = self._lasting_edits[action](text)
        headers.remove("Content-Length")
        return Response(text, status, headers)(environ, start_response)


def _action(request: Request) -> str:
    """The action as IAM names it, from the body and the signature's scope."""
    form = parse_qs(request.get_data(cache=True, as_text=True))
    target = request.headers.get("X-Amz-Target", "?").rpartition(".")[2]
    name = form.get("Action", [target])[0]
    scope = re.search(
        r"Credential=[^/]+/\d+/[^/]+/([^/]+)/", request.headers.get("Authorization", "")
    )
    return f"{scope[1] if scope else '?'}:{name}"


def _refusal(action: str, status: int, code: str, message: str) -> Response:
    error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    if action.startswith("ec2:"):
        text = f"<Response><Errors>{error}</Errors><RequestID>1</RequestID></Response>"
    else:
        text = f"<ErrorResponse>{error}<RequestId>1</RequestId></ErrorResponse>"
    return Response(text, status, content_type="text/xml")


def stack_status(status: str) -> Edit:
    return lambda text: re.sub(
        r"<StackStatus>\w+</StackStatus>", f"<StackStatus>{status}</StackStatus>", text
    )


def database_status(status: str, *, endpoint: bool = True) -> Edit:
    def change(text: str) -> str:
        text = re.sub(
            r"<DBInstanceStatus>[\w-]+</DBInstanceStatus>",
            f"<DBInstanceStatus>{status}</DBInstanceStatus>",
            text,
        )
        return text if endpoint else re.sub(r"<Endpoint>.*?</Endpoint>", "", text)

    return change


def without_output(key: str) -> Edit:
    """Take one output away, as a stack from an older template would lack it."""
    return lambda text: re.sub(
        rf"<member>(?:(?!<member>).)*?<OutputKey>{key}</OutputKey>.*?</member>",
        "",
        text,
        flags=re.DOTALL,
    )
