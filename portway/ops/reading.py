"""Reads a thing once per host and stage of a run, and keeps it until it is changed.

pyinfra reads a fact again each time it is asked for. It prepares a run, asks people to
confirm it and executes it; what was read while preparing may be out of date by then, so
it is read again. With ``-y`` nobody is asked, and it still holds.

What is kept belongs to one run: a process that lives for days keeps nothing of earlier
runs.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast

from gevent.lock import RLock
from pyinfra import host, state
from pyinfra.context import ctx_state

from portway.errors import PortwayError

T = TypeVar("T")
Key = tuple[str | None, Hashable]
"""The host that it is about, None if it is about the run; and what it is."""


class Readings:
    """What one run has read."""

    def __init__(self) -> None:
        self._known: dict[Key, Any] = {}
        # pyinfra prepares all hosts side by side; each thing is read by one of them.
        self._locks: defaultdict[Key, RLock] = defaultdict(RLock)

    def once(self, key: Key, read: Callable[[], T]) -> T:
        """What ``read`` returned for this key, the first time."""
        with self._locks[key]:
            if key not in self._known:
                self._known[key] = read()
            return cast(T, self._known[key])

    def keep(self, key: Key, value: object) -> None:
        """Put something in place of what is known."""
        self._known[key] = value

    def get(self, key: Key) -> Any:
        """What is known; None if nothing is."""
        return self._known.get(key)

    def forget(self, owner: str) -> None:
        """Forget everything that is about one host."""
        for key in [key for key in self._known if key[0] == owner]:
            del self._known[key]


def readings() -> Readings:
    """The readings of the pyinfra run that this code is part of.

    They hang on the run itself, and so go away with it.
    """
    run = ctx_state.get()  # type: ignore[no-untyped-call]
    if run is None:
        raise PortwayError("this works only inside a pyinfra run; use pyinfra")
    found: Readings = vars(run).setdefault("portway_readings", Readings())
    return found


def once_per_run(what: Hashable, read: Callable[[], T]) -> T:
    """Something that stays the same throughout a run, such as a secret."""
    return readings().once((None, what), read)


def once_per_stage(what: Hashable, read: Callable[[], T]) -> T:
    """Something about several hosts, until people have confirmed the run."""
    return readings().once((None, (what, is_confirmed())), read)


def once_per_host(what: Hashable, read: Callable[[], T]) -> T:
    """Something about the current host, until then or until the host is changed."""
    return readings().once((host.name, (what, is_confirmed())), read)


def keep_of_host(what: Hashable, value: object) -> None:
    """What ``once_per_host`` gives from now on, because it was changed to that."""
    readings().keep((host.name, (what, is_confirmed())), value)


def kept_of(name: str, what: Hashable) -> Any:
    """What is known of a host, whichever is the current one; None if nothing is."""
    return readings().get((name, (what, is_confirmed())))


def forget_host() -> None:
    """Forget what the current host was like before it was changed."""
    readings().forget(host.name)


def is_confirmed() -> bool:
    """Whether people have been asked, and the run is being executed."""
    return bool(state.is_executing and state.check_for_changes)
