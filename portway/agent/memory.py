"""What a node that deploys to itself remembers from one run to the next."""

import fcntl
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from portway.model.published import Published
from portway.model.suspension import SUSPENDED, Suspension, moment

FOLDER = SUSPENDED.parent
RETRY_SECONDS = 60.0
"""From the first failure to the next run; twice as long after each further one."""
RETRY_AT_MOST = 300.0
"""From a failure to the next run, at most."""
SPREAD = 0.1
"""The part of an interval by which machines that were deployed at once come apart."""
MOST_KINDS = 50
"""Of changes that are counted apart."""
MOST_SECONDS = 1800.0
"""From one attempt to take a release that cannot be taken to the next, at most."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A release that is published, and that this node does not run."""

    release: str
    why: str
    until: float | None = None
    """When it is tried again, in seconds since 1970; None for not before somebody says
    so, because this node did not serve with it."""
    times: int = 1
    """How often it was tried."""

    def is_over(self, now: float) -> bool:
        """Whether it may be tried again; a clock that is wrong delays nothing."""
        return self.until is not None and not 0 < self.until - now <= MOST_SECONDS

    def __str__(self) -> str:
        then = "tried again once somebody runs portway agent resume"
        if self.until is not None:
            then = f"tried again after {moment(self.until)}"
        return f"{self.release}: {self.why}; {then}"


@dataclass(frozen=True, slots=True)
class Memory:
    """What became of the last runs, and of the releases that they were of.

    All times are seconds since 1970 by this machine's clock, 0 for never.
    """

    served: str = ""
    """The release with which this node last served."""
    goes_back: bool = False
    """Whether the current release was chosen, and the node has not served with it since
    then: it may be older than what is deployed."""
    deployed: str = ""
    """Stands for what was deployed when this was written: if it is something else now,
    somebody else has deployed."""
    failures: int = 0
    """Runs that have failed since one succeeded."""
    ran: float = 0.0
    """When the last run ended."""
    succeeded: float = 0.0
    """When the last one ended that succeeded."""
    refusal: Refusal | None = None
    seen: str = ""
    """Stands for what a look at AWS found before the last run; empty without one."""
    places: Mapping[str, str] = field(default_factory=dict)
    """Whom it asked."""
    was_early: bool = False
    """Whether the last run was made because of what a look saw: AWS may not have told
    all of it to the run yet, so the next one comes soon."""
    repaired: Mapping[str, int] = field(default_factory=dict)
    """How often its runs changed what nobody wanted to be another: names of operations,
    and their numbers since this file was begun."""
    changed: Mapping[str, int] = field(default_factory=dict)
    """The same of what somebody did: another release, or something in AWS."""

    def is_due(self, now: float, interval: float) -> bool:
        """Whether it is time for a run: ``interval`` seconds after one that succeeded.

        Sooner after one that failed, and when a release is to be tried again. A clock
        that was set back delays none.
        """
        # What follows the point is as good as drawn by lot.
        wait = interval * (1 - SPREAD * (self.ran % 1))
        if self.failures:
            wait = RETRY_SECONDS * 2.0 ** min(self.failures - 1, 10)
        is_over = self.refusal is not None and self.refusal.is_over(now)
        if self.failures or self.was_early:
            wait = min(interval, wait, RETRY_AT_MOST)
        if is_over:
            wait = min(wait, RETRY_SECONDS)
        # A timer is not exact, and a run that it just missed would wait for the next.
        return not 0 <= now - self.ran < wait - RETRY_SECONDS / 4

    def with_changes(self, names: Iterable[str], *, repairs: bool) -> "Memory":
        """The same with what a run has changed, or repaired."""
        counts = Counter(self.repaired if repairs else self.changed)
        counts.update(names)
        kept = dict(counts.most_common(MOST_KINDS))
        return replace(self, repaired=kept) if repairs else replace(self, changed=kept)

    def is_about(self, published: Published) -> bool:
        """Whether the refusal, if there is one, is of the release that is published."""
        return self.refusal is None or self.refusal.release == published.release

    def refuses(self, published: Published, now: float) -> bool:
        """Whether this node does not try a release now."""
        refusal = self.refusal
        if refusal is None or not self.is_about(published):
            return False
        return not refusal.is_over(now)

    def to_json(self) -> str:
        """What the file has."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Memory":
        """What a file says, maybe of another version. ValueError if it is none."""
        found = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError("it is no object")
        try:
            known = _known(found, cls())
            if (refusal := known.get("refusal")) is not None:
                known["refusal"] = Refusal(**_known(refusal, Refusal("", "", 0.0)))
            return cls(**known)
        except (TypeError, AttributeError) as error:
            raise ValueError(str(error)) from error


def _known(found: Mapping[str, Any], like: Any) -> dict[str, Any]:
    """The fields that something like this has; ValueError for one of another type."""
    known = {f.name: found[f.name] for f in fields(like) if f.name in found}
    for name, value in known.items():
        kind = type(getattr(like, name))
        allowed = (int, float) if kind is float else (kind,)
        if None not in (value, getattr(like, name)) and not isinstance(value, allowed):
            raise ValueError(f"{name} is {value!r}")
    return known


@dataclass(frozen=True)
class Files:
    """Where both are kept."""

    folder: Path = FOLDER
    told: list[str] = field(default_factory=list)
    """What was wrong with the files when they were read."""

    def why_idle(self, now: float, interval: float) -> str | None:
        """Why there is no run now; empty if it is just not time, None if it is."""
        if (suspension := self.suspension()) is not None:
            return str(suspension)
        if (self.folder / "try-again").exists():
            return None
        return None if self.memory().is_due(now, interval) else ""

    def begin(self) -> Memory:
        """What is remembered, for a run: nothing that was to be tried again."""
        memory = self.memory()
        again = self.folder / "try-again"
        if again.exists():
            memory = replace(memory, refusal=None, failures=0, ran=0.0)
            try:
                self.keep(memory)
                again.unlink()
            except OSError as error:  # the disk is full: each turn begins like this
                self.told.append(f"{again} stays: {error}")
        return memory

    def memory(self) -> Memory:
        """What is remembered; nothing if the file is not there or damaged."""
        text = self._read("memory.json")
        try:
            return Memory.from_json(text) if text else Memory()
        except ValueError as error:
            self.told.append(f"{self.folder}/memory.json is damaged: {error}")
            return Memory()

    def keep(self, memory: Memory) -> None:
        """Remember something else."""
        self._write("memory.json", memory.to_json())

    def suspension(self) -> Suspension | None:
        """The suspension; one whose file is damaged still counts."""
        text = self._read(SUSPENDED.name)
        return None if text is None else Suspension.from_json(text)

    def suspend(self, suspension: Suspension) -> None:
        """Have later runs leave this node as it is."""
        self._write(SUSPENDED.name, suspension.to_json())

    def resume(self) -> None:
        """Have them go on, and try again at once what was refused."""
        self._write("try-again", "")  # a run may be going on, and would forget it
        (self.folder / SUSPENDED.name).unlink(missing_ok=True)

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Whether nobody else is in here; meanwhile, nobody is."""
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
        finally:
            os.close(descriptor)

    def _read(self, name: str) -> str | None:
        try:
            return (self.folder / name).read_text(errors="replace")
        except FileNotFoundError:
            return None

    def _write(self, name: str, text: str) -> None:
        """Write a file so that a reader sees all of it, after a crash too."""
        self.folder.mkdir(parents=True, exist_ok=True)
        new = self.folder / f".{name}.new"
        with new.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.folder / name)
