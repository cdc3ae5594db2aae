"""What an hour costs: an estimate, and it says so."""

import pytest

from acceptance.plan.options import Sizes
from acceptance.plan.prices import LOOKED_UP, REGION, estimate, told


def total(sizes: Sizes, *, elastic_ip: bool) -> float:
    return sum(cost.dollars or 0 for cost in estimate(sizes, elastic_ip=elastic_ip))


def test_smallest_stack_costs_cents() -> None:
    assert 0.05 < total(Sizes(), elastic_ip=True) < 0.25


def test_elastic_ip_costs_its_endpoint_and_an_address() -> None:
    more = total(Sizes(), elastic_ip=True) - total(Sizes(), elastic_ip=False)
    assert more == pytest.approx(2 * 0.01 + 0.005)


def test_estimate_says_what_it_is() -> None:
    text = "\n".join(told(estimate(Sizes(), elastic_ip=True)))
    assert all(word in text for word in ("estimate", REGION, LOOKED_UP))


def test_estimate_gives_what_a_whole_run_costs() -> None:
    costs = estimate(Sizes(), elastic_ip=True)
    two_hours = 2 * total(Sizes(), elastic_ip=True)
    text = "\n".join(told(costs))
    assert f"${two_hours:.2f} for two hours" in text
    assert "CPU credits" in text


def test_unknown_type_is_named_and_not_counted_as_free() -> None:
    sizes = Sizes(load_balancer_type="m7i.large")
    text = "\n".join(told(estimate(sizes, elastic_ip=True)))
    assert "2 x m7i.large" in text
    assert "not in this table" in text
    assert ", and 2 x m7i.large" in text
