"""Only what a script printed itself counts, whatever the login shell adds."""

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from pyinfra.api import FactBase

from portway.application.facts import ApplicationFacts, ApplicationHealth
from portway.load_balancers.haproxy import Balancing, BalancingFacts
from portway.load_balancers.status import AddressPermissions, LoadBalancerFacts
from portway.ops.facts import FileDifference, NodeFacts
from portway.ops.framing import BEGIN, END, NodeFact, framed, parts, unframed

NOTICE = "Authorized use only"
FACTS = (
    ApplicationHealth,
    ApplicationFacts,
    BalancingFacts,
    AddressPermissions,
    LoadBalancerFacts,
    FileDifference,
    NodeFacts,
)


def said(script: str, notice: str = f"echo {NOTICE}") -> tuple[int, list[str]]:
    """Status and lines of a script that a shell with a notice runs."""
    noisy = f"{notice}; {framed(script)}"
    done = subprocess.run(
        ["/bin/sh", "-c", f"trap {notice!r} EXIT\n{noisy}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert NOTICE in done.stdout
    return done.returncode, unframed(done.stdout.splitlines())


@pytest.mark.parametrize(
    ("script", "status", "lines"),
    [
        ("echo one; echo; echo two", 0, ["one", "", "two"]),
        ("printf no-newline", 0, ["no-newline"]),
        ("echo said; exit 3", 3, ["said"]),
        ("cat <<X\nhere\nX", 0, ["here"]),
        (":", 0, []),
    ],
)
def test_lines_and_status_are_the_scripts_own(
    script: str, status: int, lines: list[str]
) -> None:
    assert said(script) == (status, lines)


def test_notice_without_a_newline_is_not_taken_for_a_line() -> None:
    assert said("echo mine", f"printf '{NOTICE} > '") == (0, ["mine"])


def test_shell_that_runs_no_script_says_nothing() -> None:
    assert unframed([NOTICE, "This account is not available."]) == []


def test_fact_of_which_only_a_notice_came_is_its_default() -> None:
    assert BalancingFacts().process([NOTICE, BEGIN, END]) == Balancing()


def all_facts(cls: Any) -> Iterator[Any]:
    for child in cls.__subclasses__():
        yield child
        yield from all_facts(child)


def test_every_fact_is_framed() -> None:
    ours = [f for f in all_facts(FactBase) if f.__module__.startswith("portway.")]
    assert set(FACTS) <= set(ours)
    assert [f for f in ours if not issubclass(f, NodeFact)] == []


def test_several_scripts_in_one_command_are_told_apart() -> None:
    scripts = [framed("echo a; echo b"), framed("exit 3"), framed("printf c")]
    command = "\n".join(f"( {script} )" for script in scripts)
    result = subprocess.run(
        ["sh", "-c", f"echo notice\n{command}"],
        capture_output=True,
        text=True,
        check=False,
    )
    found = parts(result.stdout.splitlines())
    assert [unframed(lines) for lines in found] == [["a", "b"], [], ["c"]]
