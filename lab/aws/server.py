"""The lab's AWS: one process that serves moto and keeps the router equal to it.

Every request passes through ``Cloud``, whose parts are in the order in which a request
meets them: faults, permissions, moto, then the network. Run in the namespace of AWS.
"""

import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from threading import Lock, Thread
from typing import Any

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import BaseWSGIServer, make_server

from lab.aws import calls, observe
from lab.aws.calls import Call, Calls, Request
from lab.aws.control import Control
from lab.aws.corrections import correct
from lab.aws.corrections.console import instances_show_their_console
from lab.aws.faults import LATE, SLOW, CloudFaults, is_skewed, refusal, skewed
from lab.aws.imds import Metadata
from lab.aws.permissions import is_permitted
from lab.plan import facts, records
from lab.plan.facts import METADATA
from lab.plan.names import Lab
from lab.vpc.router import Router

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


class Cloud:
    """A WSGI application around moto: what AWS changes, the network follows."""

    def __init__(
        self, aws: Application, router: Router, lab: Lab, faults: CloudFaults
    ) -> None:
        self._aws = aws
        self._router = router
        self._lab = lab
        self._faults = faults
        self._calls = Calls()
        self._control = Control(faults, self._calls)
        self._lock = Lock()
        """moto is not made for several requests at a time."""

    def __call__(
        self, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer one request, and do not answer before the network is as it says."""
        if environ["PATH_INFO"] in Control.PATHS:
            return self._control(environ, start_response)
        at, started = time.time(), time.monotonic()
        statuses: list[str] = []

        def note(status: str, *rest: Any) -> Any:
            statuses.append(status)
            return start_response(status, *rest)

        request = calls.read(environ)
        if environ["PATH_INFO"] == facts.SYNCHRONIZE:
            body = self._take_in_hosts(note)
        else:
            body = self._serve(request, environ, note)
        milliseconds = (time.monotonic() - started) * 1000
        status = int(statuses[-1][:3])
        self._calls.add(
            Call(
                at,
                request.source,
                request.action,
                status,
                request.parameters,
                milliseconds / 1000,
            )
        )
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        print(
            f"{now} {request.source} {request.action} {status} {milliseconds:.0f} ms",
            flush=True,
        )
        return body

    def _take_in_hosts(self, start_response: StartResponse) -> list[bytes]:
        start_response("204 No Content", [])
        with self._lock:
            self._synchronize(force=True)
        return []

    def _serve(
        self, request: Request, environ: Environ, start_response: StartResponse
    ) -> list[bytes]:
        """What AWS answers, or what is wrong with it. Nobody waits for who waits."""
        self._faults.wait(LATE, request)
        answer = self._faults.answer(request)
        if answer is None and is_skewed(request, time.time()):
            answer = skewed(request)
        if answer is None and not self._is_permitted(request):
            answer = refusal(request)
        if answer is not None:
            headers = [
                ("Content-Type", answer.content_type),
                ("Content-Length", str(len(answer.body))),
            ]
            start_response(answer.status, headers)
            body = [answer.body]
        else:
            with self._lock:
                body = list(self._aws(environ, start_response))
                self._synchronize(force=False)
        self._faults.wait(SLOW, request)
        return body

    def _is_permitted(self, request: Request) -> bool:
        with self._lock:
            return is_permitted(request)

    def _synchronize(self, force: bool) -> None:
        try:
            self._router.apply(observe.network(records.hosts(self._lab)), force=force)
        except Exception:  # the log is read by people; AWS must go on answering
            traceback.print_exc()


class _Quiet(MotoRequestHandler):
    """Says nothing of single requests: ``Cloud`` does, and knows more."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Do nothing."""


def serve(lab: Lab) -> None:
    """Serve AWS and the metadata service until killed."""
    correct(facts.REGION)
    instances_show_their_console(lab)
    aws = DomainDispatcherApplication(create_backend_app)
    router = Router(lab)
    # Before the first connection: one that began without rules would be cut by them.
    router.apply(observe.network(records.hosts(lab)))
    faults = CloudFaults()
    cloud = Cloud(aws, router, lab, faults)
    metadata = _server(METADATA, 80, Metadata(faults))
    Thread(target=metadata.serve_forever, daemon=True).start()
    _server(facts.AWS.address, facts.API_PORT, cloud).serve_forever()


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
