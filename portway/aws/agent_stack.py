"""The parameters of cloudformation/agent.yaml, from the stack that it is beside."""

import re

from portway.aws.client import Aws
from portway.aws.reading import describe_stack
from portway.errors import PortwayError

RESOURCES = ("LoadBalancerRole", "ApplicationRole", "ApplicationSecurityGroup")
OUTPUTS = {
    "HealthPort": "HealthPort",
    "ApplicationGroup": "ApplicationGroupName",
    "Database": "DatabaseIdentifier",
    "ApplicationSecret": "ApplicationSecretArn",
    "AddressKind": "AddressKind",
}
"""Parameters, and the outputs that have their values."""
_SECRET = re.compile(r"arn:[^:]*:secretsmanager:[^:]*:\d*:secret:(.+)-\w{6}")


def agent_parameters(region: str, stack: str, secret: str) -> dict[str, str]:
    """The value of each parameter, in the template's order.

    ``secret`` is the setting ``artifactory_token_secret``, a name or an ARN; empty for
    none. PortwayError if the stack is not one of stack.yaml's.
    """
    aws, about = Aws(region), f"stack {stack}"
    described = describe_stack(aws, stack)
    if described is None:
        raise PortwayError(
            f"{about}: there is no such stack in {region}",
            do="check its name, and that the credentials are for the right account",
        )
    listed = aws.read(
        "cloudformation",
        "list_stack_resources",
        "StackResourceSummaries",
        about,
        StackName=stack,
    )
    made = {r["LogicalResourceId"]: r.get("PhysicalResourceId", "") for r in listed}
    outputs = {o["OutputKey"]: o["OutputValue"] for o in described.get("Outputs", ())}
    found = {"Stack": described["StackName"]}
    found |= {name: made.get(name, "") for name in RESOURCES}
    found |= {name: outputs.get(output, "") for name, output in OUTPUTS.items()}
    if missing := [name for name, value in found.items() if not value]:
        raise PortwayError(
            f"{about}: nothing says its {', '.join(missing)}",
            do="update it with this version's cloudformation/stack.yaml",
        )
    arn = _SECRET.fullmatch(secret)
    return found | {"ArtifactorySecret": arn[1] if arn else secret}
