"""The one place where the lab starts other programs and waits for them.

It must not know what the programs are for.
"""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.errors import LabError


def output(
    argv: Sequence[str | Path],
    *,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a program to its end and return what it printed.

    Raises LabError with the program's own message if its status is not 0.
    """
    done = subprocess.run(  # noqa: S603 - the lab composes every command itself
        argv,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip()
        raise LabError(f"{argv[0]} failed with status {done.returncode}: {words}")
    return done.stdout


def succeeds(argv: Sequence[str | Path]) -> bool:
    """Whether a program ends with status 0; what it prints is thrown away."""
    done = subprocess.run(  # noqa: S603
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode == 0


def start(
    argv: Sequence[str | Path],
    log: Path,
    *,
    cgroup: Path,
    env: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program that outlives this one, in a cgroup of its own.

    It moves itself into the cgroup before it becomes the program, so nothing
    that it starts can be outside.
    """
    cgroup.mkdir(parents=True, exist_ok=True)
    join = 'echo $$ >"$0" && exec "$@"'
    with log.open("ab") as sink:
        return subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", join, cgroup / "cgroup.procs", *argv],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=env,
            start_new_session=True,
        )
