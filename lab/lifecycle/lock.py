"""Only one up, down or pass of a follower at a time for each lab."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.ground.progress import step
from lab.plan.names import Lab


@contextmanager
def alone(lab: Lab) -> Iterator[None]:
    """Keep others out; the kernel lets them in when a process dies."""
    with Path(f"/run/lock/portway-lab-{lab.name}").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with step(f"waiting for another up, down or follow of lab {lab.name}"):
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield
