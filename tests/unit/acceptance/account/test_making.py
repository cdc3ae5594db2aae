"""What is sent to CloudFormation is the template, and what signals may not cut."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace

import pytest
from cfnlint.decode import cfn_yaml

from acceptance.account.making import TEMPLATE, new_key
from acceptance.parts.order import chosen
from acceptance.parts.replacements import refuse_renamed
from acceptance.plan.options import Options
from acceptance.terminal.interrupts import SIGNALS, Interrupted, Interrupts
from portway.contract.address import AddressKind
from portway.errors import PortwayError
from portway.model.stack import Role
from tests.unit.samples import stack


def test_key_is_one_of_openssh() -> None:
    private, public = new_key()
    assert private.startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    assert public.startswith("ssh-ed25519 ")


@pytest.mark.parametrize("kind", AddressKind)
def test_parameters_are_the_templates(kind: AddressKind, options: Options) -> None:
    known = cfn_yaml.load(str(TEMPLATE))["Parameters"]
    given = replace(options, kind=kind).parameters("key", ("a", "b"))
    assert given.keys() <= known.keys()
    assert given["DatabaseDeletionProtection"] == "false"


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    interrupts = Interrupts()
    interrupts.install()
    yield interrupts
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_ends_a_run(interrupts: Interrupts, number: signal.Signals) -> None:
    with pytest.raises(Interrupted, match=number.name):
        os.kill(os.getpid(), number)


def test_signal_does_not_cut_what_is_being_made(interrupts: Interrupts) -> None:
    ended = []

    def make() -> None:
        with interrupts.held():
            os.kill(os.getpid(), signal.SIGINT)
            ended.append("made")

    with pytest.raises(Interrupted):
        make()
    assert ended == ["made"]


def test_signal_does_not_end_the_deletion(interrupts: Interrupts) -> None:
    interrupts.delete_whatever_comes()
    os.kill(os.getpid(), signal.SIGINT)
    with interrupts.held():
        os.kill(os.getpid(), signal.SIGTERM)


def test_second_signal_does_not_end_what_the_first_began(
    interrupts: Interrupts,
) -> None:
    with pytest.raises(Interrupted):
        os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)


def test_unknown_part_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(PortwayError, match=r"tea-break[^$]*the parts are again, look"):
        chosen(("tea-break",))
    assert list(chosen(("rotation", "again"))) == ["deploy", "again", "rotation"]


def test_renamed_nodes_are_found() -> None:
    lost = next(n for n in stack().nodes if n.role is Role.LOAD_BALANCER)
    before = {lost.name: "i-1", "other": "i-2"}
    refuse_renamed(before, {lost.name: "i-3", "other": "i-2"}, lost)
    with pytest.raises(PortwayError, match="other instances are called"):
        refuse_renamed(before, {lost.name: "i-3", "other": "i-4"}, lost)
    with pytest.raises(PortwayError, match="nodes were"):
        refuse_renamed(before, {lost.name: "i-3", "third": "i-2"}, lost)
