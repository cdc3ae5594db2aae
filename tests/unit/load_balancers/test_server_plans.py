"""From the servers that run to those that are wanted: which steps, or why a reload."""

from portway.contract.reloads import Kind, Reason
from portway.load_balancers.configuration import ServerLine, parse
from portway.load_balancers.server_changes import (
    RunningServer,
    ServerChange,
    how_to_load,
    server_problems,
)

HEAD = "defaults\n  default-server check\nbackend b\n  balance leastconn\n"


def config(*servers: str, head: str = HEAD) -> str:
    return head + "".join(f"  server {server}\n" for server in servers)


TWO = config("app-1 10.0.0.1", "app-2 10.0.0.2")


def running(text: str, **drained: bool) -> list[RunningServer]:
    return [
        RunningServer(
            line.backend,
            line.name,
            line.address,
            line.port,
            line.weight,
            is_up=True,
            is_drained=drained.get(line.name.replace("-", "_"), False),
            passed=4,
            is_checked=True,
        )
        for line in parse(text).servers
    ]


def plan(old: str, new: str, now: list[RunningServer] | None = None) -> object:
    return how_to_load(old, new, running(old) if now is None else now)


def line(name: str, address: str) -> ServerLine:
    return ServerLine("b", name, address, 0, "check")


def test_added_removed_and_replaced_nodes_are_told_apart() -> None:
    found = plan(
        config("a 10.0.0.1", "b 10.0.0.2", "c 10.0.0.3"),
        config("a 10.0.0.1", "b 10.0.0.9", "d 10.0.0.4"),
    )
    assert isinstance(found, ServerChange)
    assert found.add == found.admit == (line("d", "10.0.0.4"),)
    assert found.move == (line("b", "10.0.0.9"),)
    assert [server.path for server in found.remove] == ["b/c"]
    assert found.steps == ("d added", "b replaced", "c removed")


def test_what_an_interrupted_run_did_is_not_done_twice_and_what_it_left_is() -> None:
    wanted = config("app-1 10.0.0.1", "app-2 10.0.0.2", "app-3 10.0.0.3")
    added = plan(TWO, wanted, running(wanted))
    assert added == ServerChange()
    waiting = plan(TWO, wanted, running(wanted, app_3=True))
    assert waiting == ServerChange(admit=(line("app-3", "10.0.0.3"),))


def test_drain_of_a_known_node_is_left_alone() -> None:
    assert plan(TWO, TWO, running(TWO, app_1=True)) == ServerChange()


def test_node_whose_removal_was_interrupted_serves_again_if_it_is_wanted() -> None:
    now = running(TWO, app_1=True, app_2=True)
    found = how_to_load(TWO, TWO, now, leaving=("b/app-2", "b/app-9"))
    assert found == ServerChange(stay=(line("app-2", "10.0.0.2"),))
    assert found.steps == ("app-2 kept",)


def test_order_of_equal_servers_does_not_matter() -> None:
    assert plan(TWO, config("app-2 10.0.0.2", "app-1 10.0.0.1")) == ServerChange()


def test_order_of_standbys_matters() -> None:
    old = config("a 10.0.0.1", "b 10.0.0.2 backup", "c 10.0.0.3 backup")
    same_active = config("a 10.0.0.1", "c 10.0.0.3 backup", "b 10.0.0.2 backup")
    assert plan(old, same_active) == Reason(
        Kind.SERVERS, "the order of the nodes of b changed"
    )
    last = config(
        "a 10.0.0.1", "b 10.0.0.2 backup", "c 10.0.0.3 backup", "d 10.0.0.4 backup"
    )
    assert isinstance(plan(old, last), ServerChange)
    assert isinstance(plan(last, old), ServerChange)


def test_standby_that_becomes_the_active_node_needs_a_reload() -> None:
    old = config("a 10.0.0.1", "b 10.0.0.2 backup")
    assert plan(old, config("b 10.0.0.2")) == Reason(
        Kind.SERVERS, "nodes of b have other options in it than before"
    )


def test_node_with_another_name_needs_a_reload_which_cuts_no_stream() -> None:
    assert plan(config("app 10.0.0.1"), config("app-i-1 10.0.0.1")) == Reason(
        Kind.SERVERS, "app is called app-i-1 now"
    )


def test_nodes_that_swap_addresses_need_none() -> None:
    found = plan(TWO, config("app-1 10.0.0.2", "app-2 10.0.0.1"))
    assert isinstance(found, ServerChange)
    assert {moved.name for moved in found.move} == {"app-1", "app-2"}


def test_static_balance_needs_a_reload_if_its_servers_change() -> None:
    head = HEAD.replace("leastconn", "static-rr")
    old = config("a 10.0.0.1", head=head)
    text = "b has balance static-rr, which cannot change while it runs"
    new = config("a 10.0.0.1", "b 10.0.0.2", head=head)
    assert plan(old, new) == Reason(Kind.SERVERS, text)
    assert plan(old, f"# a comment\n{old}") == ServerChange()


def test_nodes_of_ordered_clients_and_their_order_need_none() -> None:
    """The order of preference is in another file; see ``OrderedBackend``."""
    head = HEAD.replace("leastconn", "first")
    old = config("a 10.0.0.1", "b 10.0.0.2", head=head)
    found = plan(old, config("c 10.0.0.3", "b 10.0.0.2", head=head))
    assert isinstance(found, ServerChange)
    assert found.steps == ("c added", "a removed")
    assert plan(old, config("b 10.0.0.2", "a 10.0.0.1", head=head)) == ServerChange()


def test_unknown_configuration_needs_a_reload() -> None:
    found = how_to_load(None, TWO, running(TWO))
    assert isinstance(found, Reason)
    assert found.kind is Kind.UNKNOWN
    assert "just installed" in found.text, "a first run reloads what the package runs"
    other = running(config("a 10.0.0.1", head="backend other\n"))
    found = how_to_load(TWO, TWO, other)
    assert found == Reason(
        Kind.UNKNOWN, "HAProxy runs another configuration than the one recorded"
    )


def test_every_difference_from_the_configuration_is_found() -> None:
    change = ServerChange(admit=(line("app-2", "10.0.0.2"),))
    good = running(TWO)
    assert server_problems(parse(TWO), good, change) == ()
    broken = {
        "b/app-2 is missing": good[:1],
        "b/c should not be there": running(
            config("app-1 10.0.0.1", "app-2 10.0.0.2", "c 10.0.0.3")
        ),
        "b/app-2 leads to 10.0.0.9:0": running(
            config("app-1 10.0.0.1", "app-2 10.0.0.9")
        ),
        "b/app-2 has the weight 3": running(
            config("app-1 10.0.0.1", "app-2 10.0.0.2 weight 3")
        ),
        "b/app-2 gets no traffic": running(TWO, app_2=True),
    }
    for text, now in broken.items():
        assert server_problems(parse(TWO), now, change) == (text,)
