"""Where this checkout is: the one place that knows how deep the lab's files lie."""

from pathlib import Path

PROJECT = Path(__file__).parents[2]
"""What is deployed, and what ``python -m lab`` is run from."""

TEMPLATE = PROJECT / "cloudformation" / "stack.yaml"
AGENT_TEMPLATE = PROJECT / "cloudformation" / "agent.yaml"
CLIENTS = PROJECT / "group_data" / "clients" / "lab.json"
