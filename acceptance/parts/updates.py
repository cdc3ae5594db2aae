"""The application's password is changed, and the stack is updated."""

import json
import secrets
import string
import time

from acceptance.parts.view import View
from acceptance.programs.sender import refuse_failed
from acceptance.terminal.waiting import wait_for
from portway.errors import PortwayError
from portway.model.stack import Role

PASSWORD_LENGTH = 40
ANOTHER_NETWORK = "192.0.2.200/32"
"""An address for documentation: nobody's."""
ANOTHER_TYPE = "t3.small"
SHRINK_SECONDS = 600


def rotation(view: View) -> str:
    """Give the application's user a new password; no message may fail."""
    began = time.time()
    letters = string.ascii_letters + string.digits
    password = "".join(secrets.choice(letters) for _ in range(PASSWORD_LENGTH))
    view.mask.hide(password)
    view.owner.call(
        "secretsmanager",
        "put_secret_value",
        "the application's secret",
        SecretId=view.maker.outputs["ApplicationSecretArn"],
        SecretString=json.dumps({"username": "application", "password": password}),
    )
    done = view.deploys.deploy("site")
    view.client().wait_until_served(time.time())
    traffic = view.client().measured(began)
    view.notes["rotation"] = f"{done.changes} operations changed something; {traffic}"
    if done.changes == 0:
        raise PortwayError("the new password changed nothing")
    refuse_failed(traffic, "the password was rotated")
    view.notes["rotated"] = "yes"
    return view.notes["rotation"]


def update(view: View) -> str:
    """Let one more network in, and change the type of load balancers to come."""
    view.instances = view.names()
    began = time.time()
    view.maker.update(
        ClientCidrs=f"{view.options.client_cidrs},{ANOTHER_NETWORK}",
        LoadBalancerInstanceType=ANOTHER_TYPE,
    )
    view.client().wait_until_served(time.time())
    traffic = view.client().measured(began)
    view.notes["update"] = str(traffic)
    view.notes["update failed"] = str(traffic.failed)
    if (now := view.names()) != view.instances:
        raise PortwayError(f"the update replaced instances: {view.instances}, {now}")
    refuse_failed(traffic, "the stack was updated")
    return str(traffic)


def shrink(view: View) -> str:
    """Have one application node less, and look which one goes."""
    before = view.stack().with_role(Role.APPLICATION)
    if len(before) < 2:
        view.notes["shrink text"] = "there is one application node only"
        return view.notes["shrink text"]
    view.maker.update(ApplicationNodes=str(len(before) - 1))

    def look() -> list[str] | None:
        now = [node.instance_id for node in view.stack().with_role(Role.APPLICATION)]
        return now if len(now) < len(before) else None

    left = wait_for("the group to shrink", look, SHRINK_SECONDS)
    stays = [node.instance_id for node in before[:-1]]
    view.notes["shrink"] = "newest" if sorted(left) == sorted(stays) else "another"
    text = (
        f"of {len(before)}, the {view.notes['shrink']} went: the newest was launched "
        f"at {before[-1].launched_at.isoformat()}"
    )
    view.notes["shrink text"] = text
    return text
