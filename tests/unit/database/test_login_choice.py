"""What nodes are asked, and which login they get when the database does not answer."""

import logging
from types import SimpleNamespace

import pytest
from pydantic import SecretStr

from portway.database import deploy, node_logins
from portway.database.errors import Busy, LoginRefused
from portway.database.node_logins import NodeLogin
from portway.database.rotation import Rotation
from portway.database.state import NodeLogins
from portway.errors import PortwayError
from portway.model.login import Login
from portway.model.stack import Node
from portway.ops.pyinfra_errors import RunStopped
from tests.unit import samples

CLUSTER = samples.cluster()
ONE, TWO = "application", "application_portway"
LOGIN = Login(ONE, SecretStr("secret"))
HOST = SimpleNamespace(print_prefix="[app-1] ")


def test_node_that_cannot_be_asked_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def ask(node: Node, *_: object, **arguments: object) -> NodeLogin:
        if node.name == "app-2":
            raise PortwayError("app-2 does not answer within 120 s")
        assert "secret" not in str(arguments), "pyinfra logs them"
        return NodeLogin(frozenset({ONE}), ONE)

    monkeypatch.setattr(node_logins, "ask", ask)
    monkeypatch.setattr(node_logins, "host", HOST)
    monkeypatch.setattr(node_logins, "node_of_stack", lambda _, node, __: node)
    monkeypatch.setattr(node_logins, "is_silent", lambda name: name == "app-3")
    with caplog.at_level(logging.WARNING):
        found = node_logins.read_node_logins(CLUSTER, LOGIN)
    assert found.by_node == {"app-1": frozenset({ONE})}
    assert found.ready == {"app-1": ONE}
    assert found.unseen == ("app-2",)
    assert "cannot ask app-2 which database login it uses" in caplog.text


def login(
    monkeypatch: pytest.MonkeyPatch,
    error: PortwayError,
    likely: str | None = None,
    **nodes: str,
) -> str:
    """The login that nodes get when trying them ends with an error.

    ``nodes`` have a login, with the secret's password if "!" follows; "?" cannot be
    asked.
    """

    def find(*_: object) -> Login:
        raise error

    using = NodeLogins(
        {
            name: frozenset({user.rstrip("!")} - {""})
            for name, user in nodes.items()
            if user != "?"
        },
        tuple(name for name, user in nodes.items() if user == "?"),
        {name: user[:-1] for name, user in nodes.items() if user.endswith("!")},
    )
    access = SimpleNamespace(read_nodes=lambda: using, application=LOGIN)
    monkeypatch.setattr(deploy, "_access", lambda _: access)
    monkeypatch.setattr(deploy, "find_working_login", find)
    monkeypatch.setattr(deploy, "host", HOST)
    return deploy.working_login(CLUSTER, likely).user


@pytest.mark.parametrize(
    ("likely", "nodes", "expected"),
    [
        (TWO, {}, TWO),
        (None, {"a": f"{TWO}!", "b": f"{TWO}!"}, TWO),
        (None, {"a": f"{TWO}!", "b": ONE, "c": ONE}, TWO),
        (None, {"a": f"{ONE}!", "b": TWO, "c": TWO}, ONE),
        (None, {"a": f"{TWO}!", "b": "?", "c": ""}, TWO),
        (None, {"a": "", "b": ""}, ONE),
    ],
)
def test_nodes_get_the_login_that_one_has_while_the_database_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
    likely: str | None,
    nodes: dict[str, str],
    expected: str,
) -> None:
    assert login(monkeypatch, Busy("it is down"), likely, **nodes) == expected


@pytest.mark.parametrize(
    "nodes", [{"a": ONE, "b": ONE}, {"a": TWO, "b": ""}, {"a": "", "b": "?"}]
)
def test_no_node_gets_a_login_that_no_node_has_with_the_password(
    monkeypatch: pytest.MonkeyPatch, nodes: dict[str, str]
) -> None:
    with pytest.raises(RunStopped) as refusal:
        login(monkeypatch, Busy("it is down"), **nodes)
    what, why, *do = refusal.value.message.splitlines()
    assert what.startswith("nothing says which login has the password")
    assert what.endswith("it is down")
    assert "no node" in why
    assert "run again when the database answers" in do[0]
    assert "--secret-id arn:a" in do[1]


def test_no_node_gets_a_login_that_the_database_refuses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(RunStopped, match="in neither"):
        login(monkeypatch, LoginRefused("logs in neither"), TWO)


def test_password_that_comes_back_is_told_as_that(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = Rotation(
        ONE, has_password=False, former=TWO, restored=("app-1", "app-2"), refused=("c",)
    )
    monkeypatch.setattr(deploy, "host", HOST)
    with caplog.at_level(logging.INFO):
        deploy._tell(now)
    assert [record.message.removeprefix("[app-1] ") for record in caplog.records] == [
        f"{ONE} gets the application's password, so new database connections may be "
        "refused on c until its turn",
        f"the password of {ONE} was changed in the database; it gets back the one that "
        "app-1, app-2 have",
    ]
