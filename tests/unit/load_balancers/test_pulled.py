"""What both load balancers must have at once, in keepalived's configuration."""

import pytest

from portway.load_balancers.pulled import router_ids
from portway.render.load_balancer import KEEPALIVED, load_balancer
from tests.unit import samples


def test_the_rendered_configuration_has_one_router_id() -> None:
    cluster = samples.cluster()
    wanted = load_balancer(cluster, cluster.load_balancers[0])
    found = router_ids(wanted.file(KEEPALIVED.config).content)
    assert found == [str(cluster.settings.virtual_router_id)]


@pytest.mark.parametrize("other", ["5", "151", "511", ""])
def test_an_id_that_is_part_of_another_is_another(other: str) -> None:
    assert router_ids(f"  virtual_router_id {other}\n") != ["51"]
