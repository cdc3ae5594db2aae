"""A clients file from a Chef repository, read by a run of pyinfra."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.database.ssh_server import RunningNode, running_node
from tests.integration.run.test_connecting import connect

DEPLOY = """
from portway.run.inventory import current_cluster
for frontend in current_cluster().frontends:
    print(f"{frontend.name} on {frontend.port} for {list(map(str, frontend.allow))}")
"""
ROLE = """// role[message_lb], exported in 2019
{
  "name": "message_lb",
  "chef_type": "role", /* knife role show */
  "json_class": "Chef::Role",
  "default_attributes": {
    "message_lb": {
      "stats_port": "8404",
      "clients": [
        {
          "client_name": "client_one",
          "client_port": "9001",
          "allow": [{ "cidr": "192.0.2.0/24", "owner": "a // b" }]
        }
      ],
      "app_nodes": NODES
    }
  },
  "run_list": ["recipe[message_lb]"]
}
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with running_node(tmp_path_factory.mktemp("operator") / "home", 1) as running:
        yield running


def run(node: RunningNode, folder: Path, *addresses: str) -> tuple[int, str]:
    """What a run says of the role's file, which names nodes at these addresses."""
    nodes = [{"app_node_name": "old_node", "app_node_ip": a} for a in addresses]
    file, deploy = folder / "lb.json", folder / "deploy.py"
    file.write_text(ROLE.replace("NODES", json.dumps(nodes)))
    deploy.write_text(DEPLOY)
    return connect(node, f"clients_file={file}", command=(str(deploy),))


def test_role_of_chef_is_read_and_what_is_odd_is_told(
    node: RunningNode, tmp_path: Path
) -> None:
    status, text = run(node, tmp_path, "10.0.0.11")

    assert status == 0, text
    assert "client_one on 9001 for ['192.0.2.0/24']" in text
    assert "only clients and app_nodes are read, not stats_port" in text
    assert "app_nodes has old_node (10.0.0.11), and no running application" in text


def test_load_balancer_among_the_application_nodes_is_refused(
    node: RunningNode, tmp_path: Path
) -> None:
    status, text = run(node, tmp_path, "203.0.113.9")

    assert status != 0
    assert "old_node: app_node_ip 203.0.113.9 is the address of that which cli" in text
    assert "Traceback" not in text
