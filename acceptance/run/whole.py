"""A whole run: makes everything, goes through the parts, deletes everything, reports.

Whatever ends it, an error, a signal or its own end, what was made is deleted.
"""

import secrets
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from acceptance.account.calls import Caller, Refused
from acceptance.account.checks import check
from acceptance.account.cleaning import Cleaner
from acceptance.account.identity import Run
from acceptance.account.journal import Journal, Kind, State
from acceptance.account.making import Maker, new_key, zones
from acceptance.account.stack import refuse_existing, resources
from acceptance.findings.observing import Observation, observe
from acceptance.findings.report import Report, Step, as_json_lines, written
from acceptance.parts import order
from acceptance.parts.view import View
from acceptance.plan.items import ITEMS, After
from acceptance.plan.options import Options, clean_up_command
from acceptance.programs.deploys import Deploys, write_private
from acceptance.terminal.interrupts import Interrupted, Interrupts
from acceptance.terminal.masking import Mask
from acceptance.terminal.waiting import say, show
from portway.contract.address import AddressKind
from portway.errors import PortwayError
from portway.run.checkout import read_checkout

JOURNAL = "journal.jsonl"


@dataclass
class Outcome:
    """What a run has found so far."""

    steps: list[Step] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def identity(caller: Caller) -> tuple[str, str]:
    """The account and the caller's ARN; PortwayError without credentials."""
    found = caller.call("sts", "get_caller_identity", "these credentials")
    return found["Account"], found["Arn"]


@dataclass(frozen=True, slots=True)
class Start:
    """Who runs what, where: nothing is made yet."""

    options: Options
    mask: Mask
    caller: Caller
    arn: str
    """Who the caller is."""
    run: Run
    zones: tuple[str, str]
    interrupts: Interrupts


def prepared(options: Options, mask: Mask, interrupts: Interrupts) -> Start:
    """Who runs this, and where; PortwayError if it cannot be. Makes nothing."""
    order.chosen(options.only)
    caller = Caller("owner", options.region, mask)
    account, arn = identity(caller)
    check(options, arn)
    refuse_existing(caller, options)
    refuse_unfinished(options)
    types = {options.sizes.load_balancer_type, options.sizes.application_type}
    found = zones(caller, types)
    run_ = Run(secrets.token_hex(5), account, arn.split(":")[1])
    return Start(options, mask, caller, arn, run_, found, interrupts)


def refuse_unfinished(options: Options) -> None:
    """Refuse to run while an earlier run has left something."""
    if Journal(options.folder / JOURNAL).run() is not None:
        raise PortwayError(
            f"an earlier run with stack {options.stack} was not cleaned up",
            why=f"Its journal is {options.folder / JOURNAL}",
            do=clean_up_command(options.folder),
        )


def run(start: Start) -> Report:
    """One run, to its end."""
    options, mask, caller, run_ = start.options, start.mask, start.caller, start.run
    interrupts = start.interrupts
    journal = Journal(options.folder / JOURNAL)
    maker = Maker(caller, options, run_, journal, interrupts.held, mask)
    outcome = Outcome()
    view: View | None = None
    with journal.alone():
        refuse_unfinished(options)  # another process may have left something since
        journal.path.unlink(missing_ok=True)
        place = {"region": options.region, "account": run_.account}
        journal.write(Kind.RUN, run_.id, State.MADE, options.stack, **place)
        try:
            view = _make(outcome, maker, start)
            _go_through(outcome, view)
        except Interrupted as error:
            outcome.problems.append(f"ended by {error}")
        except PortwayError as error:
            outcome.problems.append(mask.text(error.message))
        except Exception as error:  # whatever it is, clean up
            text = mask.text(f"{type(error).__name__}: {error}")
            outcome.problems.append(
                f"{text}\n  this is a bug in Portway: please report it"
            )
        finally:
            try:
                interrupts.delete_whatever_comes()
                _stop_client(outcome, view)
            finally:
                _delete(outcome, caller, journal, run_, view)
    report = _reported(options, run_, caller, outcome)
    try:
        _write(options, run_, report, mask)
    finally:
        if journal.run() is not None:
            say(f"not everything is deleted: {clean_up_command(options.folder)}")
    return report


def clean_up(folder: Path, stack: str, mask: Mask, interrupts: Interrupts) -> int:
    """Delete what an earlier run has left; the exit status."""
    journal = Journal(folder / JOURNAL)
    entry = journal.run()
    if entry is None:
        say(f"no run with stack {stack} has left anything, by {journal.path}")
        return 0
    caller = Caller("owner", entry.more["region"], mask)
    account, _ = identity(caller)
    if account != entry.more["account"]:
        raise PortwayError(
            f"these credentials are for another account than the run with {stack}",
            do=f"use credentials of account {entry.more['account']}",
        )
    interrupts.delete_whatever_comes()
    with journal.alone():
        cleaner = Cleaner(caller, journal, entry.name)
        cleaner.clean()
    for problem in cleaner.problems:
        say(mask.text(problem))
    if cleaner.problems:
        say(f"not everything is deleted: {clean_up_command(folder)}")
        return 1
    say("everything is deleted")
    return 0


def _make(
    outcome: Outcome,
    maker: Maker,
    start: Start,
) -> View:
    options, mask, caller = start.options, start.mask, start.caller
    maker.journal.write(Kind.FOLDER, "secrets", State.MADE, str(options.folder))
    private, public = new_key()
    databases: list[Any] = []

    def create() -> str:
        say(f"key pair {maker.run.key_name}")
        maker.key_pair(public)
        say(f"stack {options.stack}: this takes about a quarter of an hour on AWS")
        maker.stack(start.zones)
        maker.wait_for_stack(lambda: _look_at_database(caller, maker, databases))
        maker.remember_what_stays()
        return f"in {' and '.join(start.zones)}"

    _step(outcome, "the stack", create)
    say(f"role {maker.run.role_name}, with the stack's policy for operators only")
    operator = maker.role()
    _step(outcome, "the operator's role", lambda: _assumed(operator.credentials))
    deploys = Deploys(options, options.folder, operator.credentials, mask)
    deploys.write_home(private)
    return View(
        options=options,
        owner=caller,
        operator=Caller("operator", options.region, mask, operator.credentials),
        maker=maker,
        journal=maker.journal,
        deploys=deploys,
        mask=mask,
        databases=databases,
    )


def _assumed(credentials: Callable[[], Mapping[str, str]]) -> str:
    credentials()
    return "assumed"


def _look_at_database(caller: Caller, maker: Maker, seen: list[Any]) -> None:
    """Note what RDS says of the database while it is created."""
    try:
        found = resources(caller, maker.stack_id).get("Database", {})
        name = found.get("PhysicalResourceId")
        if not name:
            return
        answer = caller.probe("rds", "describe_db_instances", DBInstanceIdentifier=name)
    except PortwayError:
        return  # the run does not end for what it only notes
    if isinstance(answer, Refused):
        return
    database = answer["DBInstances"][0]
    state = {
        "status": database["DBInstanceStatus"],
        "endpoint": bool((database.get("Endpoint") or {}).get("Address")),
        "secret": bool((database.get("MasterUserSecret") or {}).get("SecretArn")),
    }
    if state not in seen:
        seen.append(state)


def _go_through(outcome: Outcome, view: View) -> None:
    """All parts in order; the first that fails ends them."""
    for name, part in order.chosen(view.options.only).items():
        say(f"{name}: {part.title}")
        _step(outcome, part.title, lambda part=part: part.act(view))  # type: ignore[misc]
        for after in part.shows:
            outcome.observations += observe(view, after)


def _step(outcome: Outcome, title: str, act: Callable[[], str]) -> None:
    began = time.monotonic()
    try:
        text = act()
    except BaseException:
        outcome.steps.append(Step(title, time.monotonic() - began, ok=False))
        raise
    outcome.steps.append(Step(title, time.monotonic() - began, ok=True, text=text))
    say(f"  {text}")


def _stop_client(outcome: Outcome, view: View | None) -> None:
    if view is None or view.sender is None:
        return
    try:
        view.sender.stop()
    except Exception as error:  # it costs nothing; what is deleted next does
        outcome.problems.append(
            f"the client was not ended: {type(error).__name__}: {error}"
        )


def _delete(
    outcome: Outcome, caller: Caller, journal: Journal, run_: Run, view: View | None
) -> None:
    say("deleting everything that was made")
    began = time.monotonic()
    cleaner = Cleaner(caller, journal, run_.id)
    if view is not None:
        cleaner.look_between = lambda: _look_at_address(view)
    cleaner.clean()
    if view is not None and "elastic ip" in view.notes:
        outcome.observations += observe(view, After.DELETION)
    text = ", ".join(cleaner.deleted)
    seconds = time.monotonic() - began
    outcome.steps.append(
        Step("everything deleted", seconds, not cleaner.problems, text)
    )
    outcome.problems += cleaner.problems


def _look_at_address(view: View) -> None:
    """Whether the Elastic IP is still there when the stack is gone."""
    if view.options.kind is not AddressKind.ELASTIC_IP or view.journal.left(Kind.STACK):
        return
    for entry in view.journal.left(Kind.ADDRESS):
        given = [entry.id]
        answer = view.owner.probe("ec2", "describe_addresses", AllocationIds=given)
        is_there = not isinstance(answer, Refused) and bool(answer["Addresses"])
        view.notes["elastic ip"] = "kept" if is_there else "not kept"


def _reported(options: Options, run_: Run, caller: Caller, outcome: Outcome) -> Report:
    seen = {o.item for o in outcome.observations}
    not_seen = [
        key
        for key, item in ITEMS.items()
        if key not in seen and item.is_seen(options.kind, has_tunnel=options.has_tunnel)
    ]
    if not options.only and not outcome.problems and not_seen:
        outcome.problems.append(f"not observed: {', '.join(not_seen)}")
    checkout = read_checkout()
    facts = {
        "Portway": f"{checkout.portway} {(checkout.commit or '')[:12]}"
        + (" with changes" if checkout.changed else ""),
        "boto3": version("boto3"),
        "pyinfra": version("pyinfra"),
        "region": caller.region,
        "address": options.kind.value,
        "sizes": ", ".join(
            (
                f"2 x {options.sizes.load_balancer_type}",
                f"{options.sizes.application_nodes} x {options.sizes.application_type}",
                options.sizes.database_class,
            )
        ),
        "way to nodes": "Instance Connect Endpoint" if options.has_tunnel else "direct",
        "parts": ", ".join(options.only) or "all",
        "run": run_.id,
        "at": time.strftime("%Y-%m-%d %H:%M %Z"),
    }
    return Report(
        facts, outcome.steps, outcome.observations, not_seen, outcome.problems
    )


def _write(options: Options, run_: Run, report: Report, mask: Mask) -> None:
    text = mask.text(written(report))
    paths = {
        options.folder / f"report-{run_.id}.md": text,
        options.folder / f"observations-{run_.id}.jsonl": mask.text(
            as_json_lines(report.observations)
        ),
    }
    for path, content in paths.items():
        write_private(path, content)
        say(f"written: {path}")
    show(text, sys.stdout)
