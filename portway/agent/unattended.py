"""A run that nobody watches: it takes the release that is published, and goes back.

Each is started by a timer. Whatever fails leaves the node as it is, and is tried again
later; a release with which the node does not serve is replaced by the last one that
served, with what that one deploys, and is not tried again until somebody says so.
"""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from portway.agent.idling import why_idle
from portway.agent.leaving import come_back, leave
from portway.agent.memory import (
    MOST_SECONDS,
    RETRY_SECONDS,
    Files,
    Memory,
    Refusal,
)
from portway.agent.store import Store
from portway.aws.client import Aws
from portway.aws.lifecycle import may_be_terminated
from portway.aws.looking import (
    LOAD_BALANCER,
    Look,
    LookError,
    Places,
    is_leaving,
    look_at,
)
from portway.aws.own_instance import own_instance_id, own_role
from portway.aws.reading import application_secret
from portway.aws.releases import published_release
from portway.contract.archives import PROGRAMS, PROJECT
from portway.contract.paths import DEPLOYED, OUT_OF_SERVICE, RUNS
from portway.errors import PortwayError
from portway.model.published import Published
from portway.model.pulled import DID_NOT_SERVE, GOES_BACK, SERVED, WAITED
from portway.model.runs import read_report

FAILED = 1
PATIENCE = 5
"""Runs in a row with a new release that may end without the node having served."""

Tell = Callable[[str], None]


def find_places(region: str, stack: str, role: str) -> Places:
    """Whom a node of a role asks what there is to do.

    PortwayError if it does not find out.
    """
    aws = Aws(region)
    places = Places(
        stack=stack,
        region=region,
        ssm=aws.endpoint("ssm"),
        ec2=aws.endpoint("ec2"),
        instance=own_instance_id(),
        role=own_role(),
    )
    if role == LOAD_BALANCER:
        return places
    secret = application_secret(aws, stack)
    return replace(places, secrets=aws.endpoint("secretsmanager"), secret=secret)


@dataclass(frozen=True, slots=True)
class Turn:
    """What one of them came to."""

    ran: bool = False
    """Whether there was a run: it was time for one, and the node is not suspended."""
    status: int = 0
    """The run's exit status."""


class Starter:
    """Starts programs of a release one after the other, and passes SIGTERM on."""

    def __init__(self) -> None:
        self.stopped = False
        """Whether somebody wants no other to be started."""

    def __call__(
        self, release: Path, words: Sequence[str], more: Mapping[str, str]
    ) -> int:
        """Start a program in the project of its release; its exit status.

        ``more`` is what it gets in its environment besides.
        """
        program, *rest = words
        process = subprocess.Popen(  # noqa: S603 - a release that was verified
            [str(release / PROGRAMS / program), *rest],
            cwd=release / PROJECT,
            stdin=subprocess.DEVNULL,
            env=os.environ | more,
        )

        def stop(*_: object) -> None:
            self.stopped = True
            process.terminate()

        def note(*_: object) -> None:  # a terminal tells the program itself
            self.stopped = True

        before = {
            number: signal.signal(number, handler)
            for number, handler in ((signal.SIGTERM, stop), (signal.SIGINT, note))
        }
        try:
            return process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@dataclass(frozen=True)
class Unattended:
    """What the timer of a node starts, again and again."""

    region: str
    stack: str
    inventory: str
    interval: float
    """Seconds between two runs of a node that is as it should be."""
    role: str = LOAD_BALANCER
    """What the node is in its stack."""
    store: Store = field(default_factory=Store)
    files: Files = field(default_factory=Files)
    root: Path = Path("/")
    """Below it are the marks that runs leave."""
    tell: Tell = print
    clock: Callable[[], float] = time.time
    published: Callable[[str, str], Published | None] = published_release
    find_places: Callable[[str, str, str], Places] = find_places
    look: Look = look_at
    is_leaving: Callable[[Places], bool] = is_leaving
    may_be_terminated: Callable[[str, str], bool] = may_be_terminated
    start: Starter = field(default_factory=Starter)

    def turn(self) -> Turn:
        """Make a run if there may be anything to do.

        PortwayError without any release, LookError if AWS does not say.
        """
        with self.files.alone() as alone:
            why: str | None = "another one is running"
            look = cache(self.look)  # what it saw before the run counts for it, too
            if alone:
                why = why_idle(self.files, self.clock(), self.interval, look)
            if why is not None:
                if why:
                    self.tell(why)
                return Turn()
            return Turn(ran=True, status=self._turn(look))

    def _turn(self, look: Look) -> int:
        memory = self.files.begin()
        for told in self.files.told:
            self.tell(told)
        if self.role != LOAD_BALANCER and self._is_leaving(memory):
            return self._leave(memory)
        looked = self._look(memory, look)
        memory = self._choose_release(memory)
        name = self.store.current
        status, memory = self._run(name, memory, looked)
        if status and self.role != LOAD_BALANCER:
            self._come_back()
        if status == 0 or self.start.stopped:
            return status
        if (refusal := self._judge(name, memory)) is not None:
            memory = self._keep(replace(memory, refusal=refusal))
            memory = self._choose_release(memory)
            status, memory = self._run(self.store.current, memory, looked)
        return status

    def _is_leaving(self, memory: Memory) -> bool:
        """Whether AWS is about to take this node away."""
        with suppress(LookError, TypeError):
            return self.is_leaving(Places(**memory.places))
        return False

    def _come_back(self) -> None:
        """Let clients in again if nothing has become of a run that was to change it.

        The next one may not come as far, for AWS may not answer.
        """
        try:
            come_back(self.tell, self._mark(OUT_OF_SERVICE))
        except PortwayError as error:
            self.tell(str(error))

    def _leave(self, memory: Memory) -> int:
        """Let the node's streams end, and then Auto Scaling terminate it.

        It goes in the end, whatever fails here.
        """
        self.tell("AWS is about to take this node away: it lets no client in")
        try:
            leave(self.tell)
        except PortwayError as error:
            self.tell(str(error))
        self._keep(replace(memory, seen=""))  # if it stays, there is a run
        instance = memory.places["instance"]
        if self.may_be_terminated(self.region, instance):
            self.tell(f"{instance} may be terminated")
        return 0

    def _look(self, memory: Memory, look: Look) -> dict[str, Any]:
        """What to remember so that later turns see what changes from now on.

        Only with what becomes of the run: one that is killed has done nothing about it.
        Without an answer, what was seen before stays.
        """
        is_early = not memory.is_due(self.clock(), self.interval)
        found: dict[str, Any] = {"was_early": is_early}
        # Without the places, or with those of a role that is another one now, or of a
        # release that asked less.
        with suppress(LookError, TypeError):
            places = Places(**memory.places)
            if places.secret or self.role == LOAD_BALANCER:
                return found | {"seen": look(places)}
        try:
            places = self.find_places(self.region, self.stack, self.role)
            # Releases of before know less of them.
            known = {name: value for name, value in asdict(places).items() if value}
            found |= {"places": known}
            return found | {"seen": look(places)}
        except (LookError, PortwayError) as error:
            self.tell(f"not known what may change in AWS from now on: {error}")
            return found

    def _choose_release(self, memory: Memory) -> Memory:
        """Have the current release be the one that is published, or one that served.

        No other one is taken while nothing can be kept of what becomes of it.
        """
        published = None
        try:
            self.files.keep(memory)
            published = self.published(self.region, self.stack)
        except (PortwayError, OSError) as error:
            self.tell(f"the current release stays: {error}")
        if published is not None:
            if not memory.is_about(published):
                memory = self._keep(replace(memory, refusal=None))
            if not memory.refuses(published, self.clock()):
                return self._take(memory, published)
        refused = memory.refusal
        if refused is not None:
            self.tell(f"refused: {refused}")
            if self.store.current == refused.release and self.store.has(memory.served):
                self.tell(f"this node goes back to {memory.served}")
                memory = self._keep(self._chosen(memory))
                self.store.choose(memory.served)
        return memory

    def _take(self, memory: Memory, published: Published) -> Memory:
        if self.store.runs(published.release):
            return memory
        self.tell(f"taking {published.release}")
        chosen = self._keep(self._chosen(memory))
        try:
            self.store.update(self.region, published, keeps=memory.served)
        except PortwayError as error:
            refusal = self._refusal(memory, published, error)
            return self._keep(replace(memory, refusal=refusal))
        return self._keep(replace(chosen, refusal=None, failures=0))

    def _chosen(self, memory: Memory) -> Memory:
        """Whoever publishes decides: it may be older than what is deployed now."""
        return replace(memory, goes_back=True, deployed=self._deployed())

    def _refusal(
        self, memory: Memory, published: Published, error: PortwayError
    ) -> Refusal:
        """Why a release was not taken, and when it is tried again."""
        self.tell(f"not taken, the current release stays: {error}")
        last = memory.refusal
        times = 1 if last is None else last.times + 1
        wait = min(RETRY_SECONDS * 2.0 ** min(times, 10), MOST_SECONDS)
        return Refusal(
            release=published.release,
            why=" ".join(str(error).split())[:500],
            until=self.clock() + wait,
            times=times,
        )

    def _run(
        self, name: str, memory: Memory, looked: Mapping[str, Any]
    ) -> tuple[int, Memory]:
        """Make the run itself, with a release."""
        if not name:
            raise PortwayError(
                f"{self.store.link} is no release",
                why="none was published, or it could not be taken",
                do="publish one: portway release publish",
            )
        words = ["portway", "agent", "run", self.inventory]
        if self.role != LOAD_BALANCER:  # releases of before know no others
            words += ["--role", self.role]
        goes_back = memory.goes_back or memory.served not in ("", name)
        if goes_back and memory.deployed == self._deployed():
            words += ["--data", "go_back=true"]
        refusal = memory.refusal
        restores = refusal is not None and refusal.until is None
        for mark in (SERVED, DID_NOT_SERVE, WAITED):
            self._mark(mark).unlink(missing_ok=True)
        # Nobody wanted anything else than the last time.
        repairs = memory.served == name and memory.failures == 0
        repairs = repairs and not (looked.get("was_early") or memory.was_early)
        began = self.clock()
        try:
            # By its own name: the link may be changed meanwhile.
            release = self.store.folder(name)
            status = self.start(release, words, {GOES_BACK: "yes"} if restores else {})
        except OSError as error:
            self.tell(f"{name} cannot be started: {error}")
            status = FAILED
        now = self.clock()
        memory = replace(memory, ran=now, deployed=self._deployed(), **looked)
        memory = memory.with_changes(self._changes(began), repairs=repairs)
        if self._mark(SERVED).exists():
            memory = replace(memory, served=name, goes_back=False)
        if status == 0:
            memory = replace(memory, failures=0, succeeded=now)
        elif self._mark(WAITED).exists():  # that says nothing of the release
            memory = replace(memory, failures=1)
        else:
            memory = replace(memory, failures=memory.failures + 1)
        return status, self._keep(memory)

    def _judge(self, name: str, memory: Memory) -> Refusal | None:
        """Why to go back from a release, after a run with it that has failed.

        None while it is the last one with which the node served, or may still come to.
        A run that waits for the other load balancer, or that AWS does not answer,
        leaves the node serving, and says nothing of the release for a while.
        """
        if name == memory.served or not self.store.has(memory.served):
            return None
        if self._mark(DID_NOT_SERVE).exists():
            return Refusal(name, "this node did not serve with it")
        if memory.failures < PATIENCE:
            return None
        why = f"{memory.failures} runs with it have failed, and none has served"
        return Refusal(name, why, self.clock() + MOST_SECONDS)

    def _mark(self, path: Path) -> Path:
        return self.root / path.relative_to("/")

    def _deployed(self) -> str:
        """Stands for what the last run deployed, whoever made it."""
        try:
            return hashlib.sha256(self._mark(DEPLOYED).read_bytes()).hexdigest()
        except OSError:
            return ""

    def _changes(self, began: float) -> tuple[str, ...]:
        """What the run has changed that began then; nothing if it left no report."""
        try:
            *_, last = self._mark(RUNS).read_text(errors="replace").splitlines()
        except (OSError, ValueError):
            return ()
        report = read_report(last)
        return report.changes if report and report.began >= int(began) else ()

    def _keep(self, memory: Memory) -> Memory:
        """Remember something; a full disk keeps nothing from being done."""
        try:
            self.files.keep(memory)
        except OSError as error:
            self.tell(f"what became of this run cannot be kept: {error}")
        return memory


def tell(line: str) -> None:
    """Say something where the journal has it, before what a run says next."""
    print(line, file=sys.stderr, flush=True)
