"""What nodes are asked, and which login they get when the database does not answer."""

import logging
from types import SimpleNamespace

import pytest
from pydantic import SecretStr

from portway.database import deploy, node_logins
from portway.database.errors import Busy, LoginRefused
from portway.database.state import NodeLogins
from portway.errors import PortwayError
from portway.model.login import Login
from portway.model.stack import Node
from portway.ops.pyinfra_errors import RunStopped
from tests.unit import samples

CLUSTER = samples.cluster()
ONE, TWO = "application", "application_portway"
HOST = SimpleNamespace(print_prefix="[app-1] ")


def test_node_that_cannot_be_asked_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def ask(node: Node, *_: object, **__: object) -> frozenset[str]:
        if node.name == "app-2":
            raise PortwayError("app-2 does not answer within 120 s")
        return frozenset({ONE})

    monkeypatch.setattr(node_logins, "ask", ask)
    monkeypatch.setattr(node_logins, "host", HOST)
    monkeypatch.setattr(node_logins, "node_of_stack", lambda _, node, __: node)
    monkeypatch.setattr(node_logins, "is_silent", lambda name: name == "app-3")
    with caplog.at_level(logging.WARNING):
        found = node_logins.read_node_logins(CLUSTER, ONE)
    assert found.by_node == {"app-1": frozenset({ONE})}
    assert found.unseen == ("app-2",)
    assert "cannot ask app-2 which database login it uses" in caplog.text


def login(
    monkeypatch: pytest.MonkeyPatch,
    error: PortwayError,
    likely: str | None = None,
    **nodes: str,
) -> str:
    """The login that nodes get when trying them ends with an error."""

    def find(*_: object) -> Login:
        raise error

    using = NodeLogins({name: frozenset({user}) for name, user in nodes.items()})
    access = SimpleNamespace(
        read_nodes=lambda: using, application=Login(ONE, SecretStr("secret"))
    )
    monkeypatch.setattr(deploy, "_access", lambda _: access)
    monkeypatch.setattr(deploy, "find_working_login", find)
    monkeypatch.setattr(deploy, "host", HOST)
    return deploy.working_login(CLUSTER, likely).user


@pytest.mark.parametrize(
    ("likely", "nodes", "expected"),
    [
        (TWO, {}, TWO),
        (None, {}, ONE),
        (None, {"a": TWO, "b": TWO}, TWO),
        (None, {"a": TWO, "b": ONE, "c": ONE}, ONE),
    ],
)
def test_nodes_keep_their_login_while_the_database_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
    likely: str | None,
    nodes: dict[str, str],
    expected: str,
) -> None:
    assert login(monkeypatch, Busy("it is down"), likely, **nodes) == expected


def test_no_node_gets_a_login_that_the_database_refuses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(RunStopped, match="in neither"):
        login(monkeypatch, LoginRefused("logs in neither"), TWO)
