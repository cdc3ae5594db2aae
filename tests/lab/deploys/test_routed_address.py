"""An address that routes point to, at load balancers that groups launched."""

from tests.lab.system import System, changes, output


def test_first_run_lets_routed_packets_in_and_the_next_has_nothing_to_do(
    route: System,
) -> None:
    """A group launches instances that AWS drops them for."""
    looked = output(route.deploy("--dry", what="site"))
    assert "source/destination check" not in looked

    first = output(route.deploy(what="site"))
    for node in ("lb-1", "lb-2"):
        assert f"turned the source/destination check of {node} off" in first
    assert route.holder == "lb-1"
    assert route.ask(9001).startswith("app-1 ")

    second = route.deploy(what="site")
    assert changes(second) == 0, output(second)
    assert "source/destination check" not in output(second)
