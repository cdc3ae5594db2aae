"""Asks Artifactory over HTTP; every failure leaves it as a PortwayError.

What opens Artifactory goes to its own server and to no other that it redirects to, and
where it redirects to is in no error but for the host: it may be signed.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from portway.contract.artifact_access import (
    MOST_REDIRECTS,
    is_same_server,
    leaves_https,
    shown,
    tls_context,
    why_not_followed,
)
from portway.errors import GROUP_DATA, PortwayError
from portway.model.releases import Access

TIMEOUT = (5.0, 60.0)
"""Seconds to connect, and to wait for an answer."""
LONGEST_READ = 900.0
ATTEMPTS = 4
BUSY = (429, 500, 502, 503, 504)
"""Statuses that may be different a moment later."""
CHUNK = 1024 * 1024
SUM_HEADER = "X-Checksum-Sha256"
"""Artifactory's header with the SHA-256 of what it answers or redirects to."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer whose content has not been read yet."""

    response: requests.Response
    stated_sum: str | None
    """The SHA-256 that Artifactory itself gives, not one that it redirects to."""
    other: str
    """The server that answered, if it is not the one that was asked."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.response.status_code


@dataclass(frozen=True, slots=True)
class Asking:
    """Asks one Artifactory for one release."""

    access: Access
    about: str
    """Name and version, for errors."""
    trusts_plain_http: bool = False
    """Whether answers may come by a redirect to plain http: the sum is known, or
    somebody says that nobody is on the way."""
    sleep: Callable[[float], None] = time.sleep

    @contextmanager
    def ask(self, url: str, *, is_archive: bool = False) -> Iterator[Answer]:
        """Ask until the answer is final, a few times at most.

        An archive may come over plain http, too, if Artifactory gave its sum before.
        """
        with _session(self.access.authorities) as session:
            answer = self._final(session, url, is_archive)
            with closing(answer.response):
                yield answer

    def described(self, answer: Answer) -> Any:
        """The JSON of an answer; None if it is something else."""
        try:
            return answer.response.json()
        except requests.exceptions.JSONDecodeError:
            return None
        except requests.RequestException as error:
            raise self._broken(error) from error

    def sha256_of(self, answer: Answer) -> str:
        """Read all of an answer and return its SHA-256, keeping nothing."""
        digest = hashlib.sha256()
        deadline = time.monotonic() + LONGEST_READ
        try:
            # As nodes get it, even if a server calls a .gz an encoding.
            answer.response.raw.headers.pop("Content-Encoding", None)
            for chunk in answer.response.iter_content(CHUNK):
                digest.update(chunk)
                if time.monotonic() > deadline:
                    raise self._too_slow()
        except requests.RequestException as error:
            raise self._broken(error) from error
        return digest.hexdigest()

    def _too_slow(self) -> PortwayError:
        return PortwayError(
            f"{self.about}: reading the archive for its SHA-256 takes longer than "
            f"{LONGEST_READ:.0f} s",
            do=f"set artifact_sha256 in {GROUP_DATA}, so that it need not be read",
        )

    def _broken(self, error: Exception) -> PortwayError:
        return PortwayError(
            f"{self.about}: reading Artifactory's answer failed ({_reason(error)})",
            do="run again",
        )

    def _final(self, session: requests.Session, url: str, is_archive: bool) -> Answer:
        for attempt in range(ATTEMPTS):
            last = attempt == ATTEMPTS - 1
            try:
                answer = self._follow(session, url, is_archive)
                if answer.status not in BUSY or last:
                    return answer
                answer.response.close()
            except requests.RequestException as error:
                if last or isinstance(error, requests.exceptions.SSLError):
                    raise self._unreachable(url, error) from error
            self.sleep(2.0**attempt / 2)
        raise AssertionError("unreachable")

    def _follow(
        self, session: requests.Session, first: str, is_archive: bool
    ) -> Answer:
        url, stated, was_plain = first, None, False
        for _ in range(MOST_REDIRECTS + 1):
            is_own = is_same_server(first, url)
            response = session.get(
                url,
                auth=_Headers(self.access.headers if is_own else {}),
                headers={"Accept-Encoding": "identity"},
                timeout=TIMEOUT,
                allow_redirects=False,
                stream=True,
            )
            if is_own and not was_plain:
                stated = response.headers.get(SUM_HEADER, stated)
            target = session.get_redirect_target(response)
            if target is None:
                stated = stated.lower() if stated else None
                return Answer(response, stated, "" if is_own else shown(url))
            response.close()
            before, url = url, _joined(url, target)
            if reason := why_not_followed(before, url):
                raise PortwayError(
                    f"{self.about}: Artifactory cannot be followed: {reason}",
                    do=f"check artifactory_url in {GROUP_DATA}, and Artifactory's own "
                    "base URL",
                )
            if leaves_https(before, url):
                was_plain = True
                if not (self.trusts_plain_http or (is_archive and stated)):
                    raise self._plain(before, url)
        raise PortwayError(
            f"{self.about}: {shown(first)} redirects more than {MOST_REDIRECTS} times",
            do=f"check artifactory_url in {GROUP_DATA}",
        )

    def _plain(self, before: str, after: str) -> PortwayError:
        return PortwayError(
            f"{self.about}: {shown(before)} redirects to plain http, {shown(after)}",
            why="anybody on the way there could change the archive and its SHA-256",
            do=f"set artifact_sha256 in {GROUP_DATA}; if the whole way is trusted, "
            "set\n  artifactory_plain_http = True",
        )

    def _unreachable(self, url: str, error: requests.RequestException) -> PortwayError:
        """The error for no answer at all; it names what was asked at first."""
        if isinstance(error, requests.exceptions.SSLError):
            do = (
                "if an authority of your own issued its certificate, set "
                f"artifactory_ca_file in {GROUP_DATA}"
            )
        else:
            do = f"check artifactory_url in {GROUP_DATA} and the network from here"
        request = error.request
        asked = (request and request.url) or url
        place = url if is_same_server(url, asked) else f"{shown(asked)} (by a redirect)"
        return PortwayError(
            f"{self.about}: Artifactory cannot be reached at {place} "
            f"({_reason(error)})",
            do=do,
        )


def _joined(url: str, target: str) -> str:
    """The URL that a redirect leads to; a target that is none stays as it is."""
    try:
        return urljoin(url, target)
    except ValueError:
        return target


class _Headers(AuthBase):
    """The credential in its headers; with one, requests looks into no ``~/.netrc``."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._headers)
        return request


class _Verifying(HTTPAdapter):
    """Verifies servers by this machine's authorities, the usual ones and our own."""

    def __init__(self, authorities: str) -> None:
        self._context = tls_context(authorities)
        self._context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
        super().__init__()

    def init_poolmanager(self, *args: Any, **arguments: Any) -> None:
        """As requests does it, with our own TLS."""
        super().init_poolmanager(*args, ssl_context=self._context, **arguments)

    def proxy_manager_for(self, *args: Any, **arguments: Any) -> Any:
        """The same through a proxy."""
        arguments["ssl_context"] = self._context
        return super().proxy_manager_for(*args, **arguments)


class _Session(requests.Session):
    """One that prepares no request of its own for a redirect."""

    def resolve_redirects(self, *_: Any, **__: Any) -> Iterator[Any]:
        """None."""
        return iter(())


class _WithoutQueries(logging.Filter):
    """Cuts the query of every URL, which may be signed, from what urllib3 logs."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the record, with its arguments cut."""
        if isinstance(record.args, tuple):
            record.args = tuple(
                arg.partition("?")[0] if isinstance(arg, str) else arg
                for arg in record.args
            )
        return True


logging.getLogger("urllib3.connectionpool").addFilter(_WithoutQueries())


def _session(authorities: str) -> requests.Session:
    session = _Session()
    session.mount("https://", _Verifying(authorities))
    return session


def _reason(error: Exception) -> str:
    """The innermost cause, which says it shortest and without the URL."""
    if isinstance(error, ValueError):  # an address that is none, which it quotes
        return type(error).__name__
    cause: BaseException = error
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner
    return str(cause) or type(cause).__name__
