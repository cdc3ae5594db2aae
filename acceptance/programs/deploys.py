"""Runs Portway as its user would: pyinfra as a program, with a home of its own."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from acceptance.plan.options import TUNNEL, Options
from acceptance.terminal.masking import Mask
from acceptance.terminal.waiting import TELL_SECONDS, say
from portway.errors import PortwayError

PROJECT = Path(__file__).parents[2]
DEPLOY_SECONDS = 1800
TRUST_SECONDS = 900
STOP_SECONDS = 15
"""How long a run gets to end when it is interrupted: its nodes will be deleted."""
SHOWN_LINES = 15
DEBUG_LOG = "pyinfra-debug.log"
GUARD = (sys.executable, "-m", "acceptance.programs.guarded")
"""It ends what it runs when this program is killed."""
NOT_FOR_RUNS = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_CONFIG_FILE")
"""The user's own: runs get credentials in the environment."""


@dataclass(frozen=True, slots=True)
class Done:
    """A program that has ended well."""

    output: str
    seconds: float

    @property
    def changes(self) -> int:
        """How many operations changed something, as pyinfra printed it."""
        return len(re.findall(r"\] +Success$", self.output, re.MULTILINE))


class Deploys:
    """Runs programs of Portway's with the operator's credentials."""

    def __init__(
        self,
        options: Options,
        folder: Path,
        credentials: Callable[[], Mapping[str, str]],
        mask: Mask,
    ) -> None:
        self._options = options
        self._home = folder / "home"
        self._log = folder / "deploys.log"
        self._credentials = credentials
        self._mask = mask

    def write_home(self, private_key: str) -> None:
        """A home with the key, and an ssh_config that trusts what is recorded there."""
        ssh = self._home / ".ssh"
        ssh.mkdir(mode=0o700, parents=True)
        for name, text in {
            "id_ed25519": private_key,
            "known_hosts": "",
            "config": "Host *\n"
            f"    IdentityFile {ssh / 'id_ed25519'}\n"
            "    IdentitiesOnly yes\n"
            f"    UserKnownHostsFile {ssh / 'known_hosts'}\n"
            "    StrictHostKeyChecking yes\n",
        }.items():
            write_private(ssh / name, text)

    def trust(self) -> Done:
        """Record the nodes' host keys."""
        words = (
            sys.executable,
            "-m",
            "portway.cli.main",
            "trust",
            self._options.inventory,
        )
        return self._run("portway trust", words, TRUST_SECONDS)

    def deploy(self, name: str, *more: str) -> Done:
        """Run a deploy; ``more`` are settings, ``key=value``."""
        words = (self._options.inventory, f"deploys/{name}.py", "-y")
        return self._pyinfra(f"deploys/{name}.py", *words, *self._data(*more))

    def on_node(self, node: str, script: str) -> Done:
        """Run a line of shell as root on one node."""
        words = ("-y", "--limit", node, *self._data(), self._options.inventory, "exec")
        return self._pyinfra(f"a command on {node}", *words, "--", script)

    def _data(self, *more: str) -> list[str]:
        given = list(self._options.data)
        if self._options.has_tunnel and not any(
            word.startswith("tunnel_command=") for word in given
        ):
            given.append(f"tunnel_command={TUNNEL}")
        if self._options.token_secret:
            given.append(f"artifactory_token_secret={self._options.token_secret}")
        return [word for value in (*given, *more) for word in ("--data", value)]

    def _pyinfra(self, what: str, *words: str) -> Done:
        program = Path(sys.executable).with_name("pyinfra")
        found = str(program) if program.exists() else shutil.which("pyinfra")
        if not found:
            raise PortwayError(
                "there is no program pyinfra", do="install it: docs/install.md, step 1"
            )
        return self._run(what, (found, *words), DEPLOY_SECONDS)

    def environment(self) -> dict[str, str]:
        """What runs see: the operator's credentials, and nothing of the user's own."""
        kept = {k: v for k, v in os.environ.items() if k not in NOT_FOR_RUNS}
        return {
            **kept,
            **self._credentials(),
            "AWS_REGION": self._options.region,
            "AWS_DEFAULT_REGION": self._options.region,
            "HOME": str(self._home),
            "PORTWAY_STACK": self._options.stack,
        }

    def _run(self, what: str, words: tuple[str, ...], seconds: float) -> Done:
        began, since = time.monotonic(), time.time()
        start = self._log.stat().st_size if self._log.exists() else 0
        with private_file(self._log) as log:
            process = subprocess.Popen(  # noqa: S603 - Portway's own programs
                (*GUARD, *words),
                cwd=PROJECT,
                env=self.environment(),
                stdin=subprocess.PIPE,  # see guarded.py
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for this program, which ends it
            )
        try:
            self._wait(what, process, seconds)
        finally:
            end(process)
            self._take_debug_log(since)
        output = self._read(start)
        if process.returncode:
            lines = [line for line in output.splitlines() if line.strip()]
            raise PortwayError(
                f"{what} ended with status {process.returncode}",
                why="\n  ".join(lines[-SHOWN_LINES:]),
                do=f"all that it printed is in {self._log}",
            )
        return Done(output, time.monotonic() - began)

    def _take_debug_log(self, since: float) -> None:
        """Pyinfra writes a traceback into the checkout, which may have secrets."""
        with contextlib.suppress(OSError):
            if (PROJECT / DEBUG_LOG).stat().st_mtime < since - 1:
                return  # the user's own
            text = (PROJECT / DEBUG_LOG).read_text(errors="replace")
            write_private(self._log.with_name(DEBUG_LOG), text)
            (PROJECT / DEBUG_LOG).unlink()

    def _wait(
        self, what: str, process: subprocess.Popen[bytes], seconds: float
    ) -> None:
        began = told = time.monotonic()
        while process.poll() is None:
            passed = time.monotonic() - began
            if passed > seconds:
                raise PortwayError(
                    f"{what} did not end within {seconds:.0f} s",
                    do=f"all that it printed is in {self._log}",
                )
            if time.monotonic() - told > TELL_SECONDS:
                told = time.monotonic()
                say(f"  {what} runs ({passed:.0f} s, at most {seconds:.0f} s)")
            time.sleep(0.1)

    def _read(self, start: int) -> str:
        with self._log.open("rb") as file:
            file.seek(start)
            text = file.read().decode(errors="replace")
        return self._mask.text(re.sub(r"\x1b\[[0-9;]*m", "", text))


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a program that this one started, and what it started, as far as it may.

    It may not if that has another owner, by sudo; such a one ends with its input.
    """
    for number, seconds in ((signal.SIGINT, STOP_SECONDS), (signal.SIGKILL, 5)):
        if process.poll() is not None:
            return
        try:
            os.killpg(process.pid, number)
            process.wait(seconds)
        except (OSError, subprocess.TimeoutExpired):
            continue


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, from its first byte on."""
    path.unlink(missing_ok=True)
    with os.fdopen(
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w"
    ) as f:
        f.write(text)


def private_file(path: Path) -> IO[bytes]:
    """Open such a file to add to it."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.fdopen(os.open(path, flags, 0o600), "ab")
