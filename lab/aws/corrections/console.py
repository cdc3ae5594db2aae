"""What an instance prints on its console, which EC2 keeps and shows."""

import base64
from typing import Any

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ec2.responses.general import General

from lab.plan import records
from lab.plan.names import Lab

KEPT = 64 * 1024
"""Bytes that EC2 keeps."""

_responses: Any = General


def instances_show_their_console(lab: Lab) -> None:
    """Moto shows the same sample for every instance.

    EC2 shows the end of what an instance has printed, and nothing before that.
    """

    def get_console_output(self: Any) -> Any:
        self.error_on_dryrun()
        instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
        result = {"InstanceId": instance.id, "Timestamp": utcnow()}
        if text := _printed(lab, instance.id):
            result["Output"] = base64.b64encode(text).decode()
        return ActionResult(result)

    _responses.get_console_output = get_console_output


def _printed(lab: Lab, instance_id: str) -> bytes:
    for host in records.hosts(lab):
        log = lab.host(host.node) / "upper" / records.SERIAL_PORT.lstrip("/")
        if host.instance_id == instance_id and log.exists():
            return log.read_bytes()[-KEPT:]
    return b""
