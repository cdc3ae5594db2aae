"""The lab's AWS: one process that serves moto and keeps the router equal to it.

Every request passes through ``Cloud``, whose parts are in the order in which a request
meets them: faults (none yet), moto, then the network. Run in the namespace of AWS.
"""

import io
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qs

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import BaseWSGIServer, make_server

from lab import observe, plan, state
from lab.corrections import correct
from lab.imds import Metadata
from lab.names import Lab
from lab.network import METADATA
from lab.router import Router

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


class Cloud:
    """A WSGI application around moto: what AWS changes, the network follows."""

    def __init__(self, aws: Application, router: Router, lab: Lab) -> None:
        self._aws = aws
        self._router = router
        self._lab = lab
        self._lock = Lock()
        """moto is not made for several requests at a time."""

    def __call__(
        self, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer one request, and do not answer before the network is as it says."""
        started = time.monotonic()
        action = _action(environ)
        statuses: list[str] = []

        def note(status: str, *rest: Any) -> Any:
            statuses.append(status)
            return start_response(status, *rest)

        with self._lock:
            if environ["PATH_INFO"] == plan.SYNCHRONIZE:
                note("204 No Content", [])
                body: list[bytes] = []
            else:
                body = list(self._aws(environ, note))
            self._synchronize(anew=environ["PATH_INFO"] == plan.SYNCHRONIZE)
        milliseconds = (time.monotonic() - started) * 1000
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        print(
            f"{now} {environ['REMOTE_ADDR']} {action} {statuses[-1][:3]} "
            f"{milliseconds:.0f} ms",
            flush=True,
        )
        return body

    def _synchronize(self, anew: bool) -> None:
        try:
            self._router.apply(observe.network(state.hosts(self._lab)), anew=anew)
        except Exception:  # the log is read by people; AWS must go on answering
            traceback.print_exc()


def _action(environ: Environ) -> str:
    """The name of the AWS action a request asks for; the request stays readable."""
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        return str(target).rpartition(".")[2]
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    actions = parse_qs(body.decode(errors="replace")).get("Action")
    return actions[0] if actions else str(environ["PATH_INFO"])


class _Quiet(MotoRequestHandler):
    """Says nothing of single requests: ``Cloud`` does, and knows more."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Do nothing."""


def serve(lab: Lab) -> None:
    """Serve AWS and the metadata service until killed."""
    correct(plan.REGION)
    aws = DomainDispatcherApplication(create_backend_app)
    router = Router(lab)
    # Before the first connection: one that began without rules would be cut by them.
    router.apply(observe.network(state.hosts(lab)))
    cloud = Cloud(aws, router, lab)
    metadata = _server(METADATA, 80, Metadata())
    Thread(target=metadata.serve_forever, daemon=True).start()
    _server(plan.AWS.address, plan.API_PORT, cloud).serve_forever()


def _server(address: str, port: int, application: Application) -> BaseWSGIServer:
    # Bound here, for werkzeug would look up the address's name, where no one answers.
    listener = socket.create_server((address, port), backlog=256)
    return make_server(
        address,
        port,
        application,
        threaded=True,
        request_handler=_Quiet,
        fd=listener.detach(),
    )


if __name__ == "__main__":
    serve(Lab(sys.argv[1]))
