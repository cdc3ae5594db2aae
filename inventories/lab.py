"""The lab: the same, with the clients that `make demo` shows."""

import os

from portway.run.inventory import app_nodes as _app_nodes
from portway.run.inventory import load_balancers as _load_balancers

_stack = os.environ.get("PORTWAY_STACK", "portway")
_region = os.environ.get("AWS_REGION", "us-east-1")

load_balancers = _load_balancers(_stack, _region)
app_nodes = _app_nodes(_stack, _region)
