"""The lab's own requests to its AWS: faults are set and lifted, calls are read.

Answers only what is asked in the namespace of AWS itself, so that no fault of the
network keeps the lab from healing it.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qs

from lab.aws.calls import Calls
from lab.aws.faults import CloudFault, CloudFaults
from lab.plan import facts

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


class Control:
    """A WSGI application for ``facts.FAULTS`` and ``facts.CALLS``."""

    PATHS = (facts.FAULTS, facts.CALLS)

    def __init__(self, faults: CloudFaults, calls: Calls) -> None:
        self._faults = faults
        self._calls = calls

    def __call__(
        self, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer one request."""
        status, content = self._answer(environ)
        body = json.dumps(content).encode()
        start_response(
            status,
            [("Content-Type", "application/json"), ("Content-Length", str(len(body)))],
        )
        return [body]

    def _answer(self, environ: Environ) -> tuple[str, Any]:
        if environ["REMOTE_ADDR"] != facts.AWS.address:
            return "403 Forbidden", "only the lab itself may ask this"
        match environ["REQUEST_METHOD"], environ["PATH_INFO"]:
            case "GET", facts.CALLS:
                since = parse_qs(environ.get("QUERY_STRING", "")).get("since", ["0"])
                return "200 OK", self._calls.since(float(since[0]))
            case "GET", facts.FAULTS:
                pass
            case "POST", facts.FAULTS:
                size = int(environ.get("CONTENT_LENGTH") or 0)
                given = json.loads(environ["wsgi.input"].read(size))
                self._faults.put(
                    CloudFault(**{**given, "actions": tuple(given["actions"])})
                )
            case "DELETE", facts.FAULTS:
                self._faults.clear()
            case _:
                return "405 Method Not Allowed", "see lab/aws/control.py"
        return "200 OK", [asdict(fault) for fault in self._faults.listed()]
