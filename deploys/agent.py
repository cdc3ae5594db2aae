"""Have the nodes deploy to themselves from here on: docs/agent.md.

    pyinfra inventories/prod.py deploys/agent.py

Each fetches the release that is published, and a timer has it deploy to its machine.
"""

from pyinfra import host

from portway.ops.agent import install_agent
from portway.run.exclusive import one_run_at_a_time
from portway.run.inventory import current_cluster, inventory_file

cluster = current_cluster()
one_run_at_a_time(cluster, configures=False)
node = {member.name: member for member in cluster.stack.nodes}.get(host.name)

if node is not None:
    install_agent(cluster, node.role, inventory_file())
