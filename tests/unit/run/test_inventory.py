"""Which nodes a run connects to, by the deploys that it was given."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import click
import pytest
from pyinfra.api.state import State, StateStage
from pyinfra.context import ctx_state

from portway.aws.discovery import Need
from portway.model.deployed import Checkout
from portway.model.stack import Role
from portway.ops.connector import NodeConnector
from portway.ops.pyinfra_errors import RunStopped
from portway.run import inventory
from portway.run.command_line import Invocation
from portway.run.run import Run
from portway.run.trust import Reached
from tests.unit import samples

ROOT = Path(__file__).parents[3]

needs: list[Need] = []
"""What each reading said that it needs of the database."""
keeping: list[bool] = []
"""Whether each reading had AWS keep the names of new nodes."""


@pytest.fixture(autouse=True)
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The stacks that were read from AWS in this run."""
    names: list[str] = []
    needs.clear()
    keeping.clear()

    def read(name: str, region: str, **options: Any) -> Any:
        names.append(name)
        needs.append(options["need"])
        keeping.append(options["prepares"])
        return samples.stack(name=name, region=region)

    monkeypatch.setattr(inventory, "read_stack", read)
    with ctx_state.use(State()):
        yield names


def names(*deploys: str, **options: Any) -> list[list[str]]:
    """The load balancers and application nodes of a run of these deploys."""
    command = click.Command("pyinfra")
    context = click.Context(command)
    context.params = {"operations": deploys, **options}
    with context:
        groups = inventory.load_balancers, inventory.app_nodes
        return [[name for name, _ in group("one", "eu-central-1")] for group in groups]


@pytest.mark.parametrize(
    ("deploy", "expected"),
    [
        ("deploys/lb.py", [["lb-1", "lb-2"], []]),
        ("deploys/db.py", [[], ["app-1", "app-2"]]),
        ("deploys/site.py", [["lb-1", "lb-2"], ["app-1", "app-2"]]),
        ("debug-inventory", [["lb-1", "lb-2"], ["app-1", "app-2"]]),
    ],
)
def test_only_nodes_that_the_deploy_needs_are_connected_to(
    deploy: str, expected: list[list[str]]
) -> None:
    assert names(deploy) == expected


def test_several_deploys_need_the_nodes_of_each() -> None:
    assert names("deploys/lb.py", "deploys/db.py") == [
        ["lb-1", "lb-2"],
        ["app-1", "app-2"],
    ]


@pytest.mark.parametrize(
    ("deploys", "need"),
    [
        (["deploys/lb.py"], Need.NOTHING),
        (["deploys/transfer.py"], Need.NOTHING),
        (["deploys/agent.py"], Need.NOTHING),
        (["deploys/app.py"], Need.ENDPOINT),
        (["deploys/lb.py", "deploys/app.py"], Need.ENDPOINT),
        (["deploys/site.py"], Need.SERVICE),
        (["deploys/db.py", "deploys/lb.py"], Need.SERVICE),
        (["debug-inventory"], Need.NOTHING),
    ],
)
def test_database_is_needed_by_what_uses_it(deploys: list[str], need: Need) -> None:
    names(*deploys)
    assert needs == [need]


@pytest.mark.parametrize(
    ("words", "options", "expected"),
    [
        (["deploys/lb.py"], {}, True),
        (["deploys/lb.py"], {"dry": True}, False),
        (["exec", "--", "uptime"], {}, False),
        (["debug-inventory"], {}, False),
    ],
)
def test_names_are_kept_by_runs_that_change_something(
    words: list[str], options: dict[str, Any], expected: bool
) -> None:
    names(*words, **options)
    assert keeping == [expected]


def test_inventory_of_two_stacks_is_refused() -> None:
    inventory.load_balancers("one", "eu-central-1")
    with pytest.raises(RunStopped, match=r"two stacks, one in .* and two in"):
        inventory.load_balancers("two", "eu-central-1")


def connector(silent: bool) -> NodeConnector:
    found = NodeConnector.__new__(NodeConnector)
    found.is_silent = silent
    return found


def goes_on(
    deploy: str,
    *lost: str,
    silent: bool = True,
    stage: StateStage = StateStage.Connect,
) -> bool:
    """Whether a run of a deploy goes on without nodes that it could not connect to."""
    stack = samples.stack()
    state = SimpleNamespace(
        current_stage=stage,
        failed_hosts=[
            SimpleNamespace(name=name, connector=connector(silent)) for name in lost
        ],
        active_hosts=[n for n in stack.nodes if n.name not in lost],
    )
    invocation = Invocation(files=(deploy,) if deploy else ())
    run = Run(stack, invocation, ("one", "here"), Checkout("0.1.0"))
    return inventory._goes_on(run, cast(State, state))


@pytest.mark.parametrize(
    ("deploy", "lost", "expected"),
    [
        ("lb.py", ["lb-1"], True),
        ("lb.py", ["lb-1", "lb-2"], False),
        ("app.py", ["lb-1", "app-2"], True),
        ("app.py", ["app-1", "app-2"], False),
        ("site.py", ["lb-2", "app-1"], True),
        ("site.py", ["lb-1", "lb-2"], False),
        ("", ["lb-1"], False),
        ("transfer.py", ["lb-1"], False),
    ],
)
def test_run_goes_on_without_nodes_while_others_have_work(
    deploy: str, lost: list[str], expected: bool
) -> None:
    assert goes_on(deploy, *lost) is expected


def test_node_that_refuses_who_comes_ends_the_run() -> None:
    """Such as one with another host key: that is no failure of the node."""
    assert goes_on("lb.py", "lb-1", silent=False) is False


def test_node_without_a_known_key_is_done_without_only_where_it_is_asked() -> None:
    nodes = [
        SimpleNamespace(
            node=node,
            host=SimpleNamespace(connector=connector(silent=False)),
            is_trusted=lambda known=node.name != "lb-2": known,
        )
        for node in samples.stack().nodes
    ]
    given = cast(list[Reached], nodes)

    assert inventory._without_asked(given, tuple(Role)) == nodes
    assert all(node.host.connector.unwanted == "" for node in nodes)

    left = inventory._without_asked(given, (Role.APPLICATION,))
    assert [n.node.name for n in left] == ["lb-1", "app-1", "app-2"]
    said = {n.node.name: n.host.connector.unwanted for n in nodes}
    assert said.pop("lb-2").startswith("No SSH host key is known for it")
    assert set(said.values()) == {""}


def test_failure_after_connecting_ends_the_run() -> None:
    assert goes_on("lb.py", "lb-1", stage=StateStage.Execute) is False


def test_stack_is_read_once_for_all_groups(reads: list[str]) -> None:
    names("deploys/site.py")
    assert reads == ["one"]


def test_next_run_reads_its_stack_again(reads: list[str]) -> None:
    names("deploys/site.py")
    with ctx_state.use(State()):
        names("deploys/site.py")
    assert reads == ["one", "one"]


def test_limit_may_name_any_node_or_group_of_the_run() -> None:
    for pattern in ("app-1", "app_nodes", "app-*"):
        assert names("deploys/db.py", limit=(pattern,))


def test_limit_to_a_node_that_the_run_does_not_touch_is_refused() -> None:
    with pytest.raises(RunStopped, match="--limit lb-1 matches no node"):
        names("deploys/db.py", limit=("lb-1",))


@pytest.mark.parametrize(
    "options",
    [
        {"exclude": ("load_balancers",)},
        {"exclude": ("lb-*",)},
        {"limit": ("lb-1",), "exclude": ("lb-1",)},
    ],
)
def test_run_that_would_do_nothing_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(
        RunStopped, match="no node that this would change; there are lb"
    ):
        names("deploys/lb.py", **options)


@pytest.mark.parametrize("option", ["limit", "exclude"])
def test_name_that_pyinfra_does_not_know_is_refused(option: str) -> None:
    with pytest.raises(RunStopped, match=f"--{option} all matches no node"):
        names("deploys/lb.py", **{option: ("all",)})


@pytest.mark.parametrize("option", ["no_wait", "serial", "fail_percent"])
def test_options_that_undo_the_order_are_refused(option: str) -> None:
    with pytest.raises(RunStopped, match="cannot be used here"):
        names("deploys/lb.py", **{option: 1})


def test_dry_run_that_could_show_nothing_is_refused() -> None:
    with pytest.raises(RunStopped, match="leave -y out"):
        names("deploys/lb.py", dry=True, yes=True)


def test_excluding_one_of_two_leaves_the_other() -> None:
    assert names("deploys/lb.py", exclude=("lb-1",))


def test_application_cannot_be_limited_to_load_balancers() -> None:
    with pytest.raises(RunStopped, match="there are app-1, app-2"):
        names("deploys/app.py", limit=("lb-1",))
    assert names("deploys/app.py", limit=("app-1",))


@pytest.mark.parametrize(
    ("deploy", "loaded"), [("lb.py", False), ("transfer.py", False), ("site.py", True)]
)
def test_deploy_loads_only_what_it_needs(deploy: str, loaded: bool) -> None:
    """The load balancers' need neither database drivers nor requests."""
    program = (
        "import sys; from portway.run import command_line, inventory\n"
        f"command_line.deploys = lambda: ({deploy!r},)\n"
        "inventory._load_deploys(); print(*sys.modules)"
    )
    output = subprocess.check_output([sys.executable, "-c", program], cwd=ROOT)
    names = set(output.decode().split())
    assert "portway.load_balancers.deploy" in names
    for name in ("portway.application.deploy", "pymysql", "pg8000", "requests"):
        assert (name in names) == loaded, name


LOADED_LATE = """
import ast, sys
from pathlib import Path
from portway.run import command_line, inventory
path = sys.argv[1]
command_line._options = lambda: {"operations": [path]}
inventory._load_deploys()
before = set(sys.modules)
for node in ast.parse(Path(path).read_text()).body:
    if isinstance(node, ast.ImportFrom) and node.module.startswith("portway."):
        __import__(node.module)
for name in sorted(set(sys.modules) - before):
    print(name)
"""


@pytest.mark.parametrize("deploy", ["lb", "app"])
def test_deploy_s_code_is_there_before_aws_is_asked(deploy: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED_LATE, f"deploys/{deploy}.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert [n for n in done.stdout.split() if n.startswith("portway.")] == []
