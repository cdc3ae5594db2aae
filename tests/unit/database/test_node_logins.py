"""Which database login a node uses, from files that its shell reads."""

import hashlib
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from portway.database.node_logins import NodeLogin, NodeLoginFacts
from portway.model.build import build_cluster
from portway.model.login import Login, both_logins
from portway.model.releases import Release
from portway.render.application import Application, Inputs, application
from tests.unit.samples import clients, settings, stack

RELEASE = Release("1.0.0", "https://artifacts.test/a", "a" * 64)
ONE, TWO = both_logins(Login("application", SecretStr("secret")))
FIRST, SECOND = frozenset({"application"}), frozenset({"application_portway"})


def rendered(login: Login) -> Application:
    cluster = build_cluster(stack(), settings(), clients())
    node = next(n for n in cluster.stack.nodes if n.name == "app-1")
    return application(cluster, node, Inputs(RELEASE, login, "CERTIFICATE\n"))


class Node:
    """A folder in place of a node's root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has(self, wanted: Application, *ends: str) -> None:
        """Files of the application are written, or those with some ends."""
        for file in wanted.own_files:
            if not ends or file.path.endswith(ends):
                path = self.folder / file.path[1:]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(file.content)

    def started(self) -> None:
        """As its unit begins."""
        config = (self.folder / "etc/message-app/message-app.conf").read_bytes()
        listing = (self.folder / "etc/message-app/listeners").read_text()
        record = self.folder / "run/portway/loaded/message-app"
        record.parent.mkdir(parents=True, exist_ok=True)
        sums = f"{'0' * 64}  -\n{hashlib.sha256(config).hexdigest()}  -\n"
        record.write_text(sums + listing)

    def logins(self) -> frozenset[str]:
        return self.says("other").users

    def says(self, password: str) -> NodeLogin:
        """What it answers to a password, which is nobody's argument."""
        script = NodeLoginFacts().command(app="message-app", user="application")
        for top in ("/etc/", "/run/"):
            script = script.replace(top, f"{self.folder}{top}")
        said = subprocess.run(
            ["sh", "-c", script],
            input=f"{password}\n",
            capture_output=True,
            text=True,
            check=True,
        )
        assert said.stderr == ""
        return NodeLoginFacts().process(said.stdout.splitlines())


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_node_without_the_application_uses_none(node: Node) -> None:
    assert node.logins() == frozenset()


def test_node_that_knows_of_one_login_uses_the_first(node: Node) -> None:
    node.has(rendered(ONE))
    assert node.logins() == FIRST
    node.started()
    assert node.logins() == FIRST


def test_node_without_a_listing_uses_the_first(node: Node) -> None:
    node.has(rendered(ONE), ".conf")
    assert node.logins() == FIRST


def test_first_login_leaves_every_file_as_it_was_with_one() -> None:
    listing = rendered(ONE).own_files[2].content
    assert "login" not in listing
    assert rendered(ONE) == rendered(replace(ONE))


@pytest.mark.parametrize(("before", "after"), [(ONE, TWO), (TWO, ONE)])
def test_node_uses_the_former_login_until_all_is_written_and_started(
    node: Node, before: Login, after: Login
) -> None:
    old, new = frozenset({before.user}), frozenset({after.user})
    node.has(rendered(before))
    node.started()
    assert node.logins() == old
    node.has(rendered(after), ".conf")  # written first
    assert old <= node.logins()
    node.has(rendered(after))
    assert node.logins() == old | new
    node.started()
    assert node.logins() == new


def test_node_that_crashed_while_it_was_written_is_known_when_all_is_written(
    node: Node,
) -> None:
    node.has(rendered(ONE))
    node.started()
    node.has(rendered(TWO), ".conf")
    node.started()
    assert node.logins() >= FIRST
    node.has(rendered(TWO))
    assert node.logins() == SECOND


def test_node_says_which_login_its_configuration_has_with_the_password(
    node: Node,
) -> None:
    assert node.says("secret").ready is None
    node.has(rendered(ONE))
    assert node.says("secret").ready == "application"
    node.started()
    node.has(rendered(TWO), ".conf")
    assert node.says("secret").ready == "application_portway"
    node.has(rendered(TWO))
    assert node.says("secret").ready == "application_portway"
    assert node.says("other").ready is None


@pytest.mark.parametrize("password", ["", "secre", "ecret", "s.cret", "-e", "\\"])
def test_part_or_pattern_of_the_password_is_not_the_password(
    node: Node, password: str
) -> None:
    node.has(rendered(ONE))
    assert node.says(password) == NodeLogin(FIRST)


@pytest.mark.parametrize("password", ["a  b$(id)`id`\\n'\"%s*[", "-f", "%d\\", "~ ~"])
def test_password_may_be_anything_that_a_secret_may_have(
    node: Node, password: str
) -> None:
    node.has(rendered(replace(TWO, password=SecretStr(password))))
    assert node.says(password).ready == "application_portway"


def test_password_with_another_user_of_an_earlier_secret_is_no_login(
    node: Node,
) -> None:
    node.has(rendered(Login("former", SecretStr("secret"))))
    conf = node.folder / "etc/message-app/message-app.conf"
    conf.write_text(conf.read_text().replace("[application]", "[process]"))
    assert node.says("secret").ready is None
