"""Application nodes that a clients file names, beside those of the stack."""

from dataclasses import replace

import pytest

from portway.errors import PortwayError
from portway.model.build import build_cluster
from portway.model.clients import AppNode
from portway.model.cluster import Cluster
from portway.model.stack import Role, Stack
from tests.unit.samples import clients, settings, stack


def naming(found: Stack, *addresses: str) -> Cluster:
    """The cluster of a file that names nodes at these addresses: n1, n2 …"""
    entries = [
        {"app_node_name": f"n{number}", "app_node_ip": address}
        for number, address in enumerate(addresses, start=1)
    ]
    nodes = tuple(map(AppNode.model_validate, entries))
    return build_cluster(found, settings(), replace(clients(), app_nodes=nodes))


def test_nodes_that_the_stack_does_not_have_are_told_and_those_left_out() -> None:
    found = stack()
    one, two = (node.address for node in found.with_role(Role.APPLICATION))

    foreign, left = naming(found, "10.0.0.11", two).warnings

    assert "app_nodes has n1 (10.0.0.11), and no running application node of" in foreign
    assert f"app_nodes has no app-1 ({one}), which AWS has" in left
    for text in (foreign, left):
        assert text.endswith(
            "remove app_nodes from the file to use the application nodes that AWS has"
        )
    assert naming(found, one, two).warnings == ()
    assert build_cluster(found, settings(), clients()).warnings == ()


def test_addresses_that_lead_back_to_the_load_balancers_are_refused() -> None:
    found = stack()
    own = found.with_role(Role.LOAD_BALANCER)[0].address

    with pytest.raises(PortwayError) as error:
        naming(found, own, found.virtual_address.address)

    said = error.value.message
    assert f"n1: app_node_ip {own} is the address of lb-1, a load balancer" in said
    assert "n2: app_node_ip 203.0.113.9 is the address of that which clients" in said
