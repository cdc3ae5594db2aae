"""The instance metadata service, version 2: who asks is known by source address.

Answers from moto's own objects; serves nothing but what an instance may read.
"""

import json
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Any

from moto.ec2.models import ec2_backends
from moto.sts.models import sts_backends

from lab.aws.faults import CloudFaults
from lab.plan import facts

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]

TOKEN_SECONDS = 21600
NOTICE_SECONDS = 120
CREDENTIAL_SECONDS = 3600
RENEW_SECONDS = 900
"""Credentials with less than this left are replaced, as on EC2."""


class Metadata:
    """A WSGI application that answers at 169.254.169.254."""

    def __init__(self, faults: CloudFaults) -> None:
        self._faults = faults
        self._tokens: dict[str, tuple[str, float]] = {}
        self._credentials: dict[str, tuple[float, dict[str, str]]] = {}

    def __call__(
        self, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer one request."""
        status, body = self._answer(environ)
        content = body.encode()
        start_response(
            status,
            [("Content-Type", "text/plain"), ("Content-Length", str(len(content)))],
        )
        return [content]

    def _answer(self, environ: Environ) -> tuple[str, str]:
        source = environ["REMOTE_ADDR"]
        if self._faults.metadata_fails(source):
            return "503 Service Unavailable", ""
        instance = instance_at(source)
        if instance is None:
            return "404 Not Found", ""
        path = environ["PATH_INFO"].rstrip("/")
        if environ["REQUEST_METHOD"] == "PUT" and path == "/latest/api/token":
            return self._give_token(instance.id, environ)
        if environ["REQUEST_METHOD"] != "GET":
            return "405 Method Not Allowed", ""
        if not self._has_token(instance.id, environ):
            return "401 Unauthorized", ""
        found = _lookup(self._tree(instance, source), path)
        return ("404 Not Found", "") if found is None else ("200 OK", found)

    def _give_token(self, instance_id: str, environ: Environ) -> tuple[str, str]:
        # As EC2 does, so that nobody is fooled through a proxy.
        if environ.get("HTTP_X_FORWARDED_FOR"):
            return "403 Forbidden", ""
        try:
            seconds = int(environ["HTTP_X_AWS_EC2_METADATA_TOKEN_TTL_SECONDS"])
        except (KeyError, ValueError):
            return "400 Bad Request", ""
        if not 1 <= seconds <= TOKEN_SECONDS:
            return "400 Bad Request", ""
        token = secrets.token_urlsafe(40)
        self._tokens[token] = (instance_id, time.monotonic() + seconds)
        return "200 OK", token

    def _has_token(self, instance_id: str, environ: Environ) -> bool:
        token = environ.get("HTTP_X_AWS_EC2_METADATA_TOKEN", "")
        owner, until = self._tokens.get(token, ("", 0.0))
        return owner == instance_id and time.monotonic() < until

    def _tree(self, instance: Any, source: str) -> dict[str, Any]:
        return {
            "latest": {
                **_user_data(instance),
                "meta-data": {
                    **_about(instance),
                    **_autoscaling(instance),
                    **self._spot(source),
                    **self._iam(instance),
                },
                "dynamic": {
                    "instance-identity": {"document": _identity(instance)},
                },
            }
        }

    def _spot(self, source: str) -> dict[str, Any]:
        if not self._faults.takes_back(source):
            return {}
        when = _timestamp(time.time() + NOTICE_SECONDS)
        return {
            "spot": {
                "instance-action": json.dumps({"action": "terminate", "time": when})
            }
        }

    def _iam(self, instance: Any) -> dict[str, Any]:
        role = role_of(instance)
        if role is None:
            return {}
        return {
            "iam": {
                "security-credentials": {
                    role.name: json.dumps(self._role_credentials(instance.id, role))
                }
            }
        }

    def _role_credentials(self, instance_id: str, role: Any) -> dict[str, str]:
        until, known = self._credentials.get(instance_id, (0.0, {}))
        if until - time.time() > RENEW_SECONDS:
            return known
        assumed = sts_backends[facts.ACCOUNT]["aws"].assume_role(
            region_name=facts.REGION,
            role_session_name=instance_id,
            role_arn=role.arn,
            policy="",
            duration=CREDENTIAL_SECONDS,
            external_id="",
        )
        until = time.time() + CREDENTIAL_SECONDS
        known = {
            "Code": "Success",
            "Type": "AWS-HMAC",
            "LastUpdated": _timestamp(time.time()),
            "AccessKeyId": assumed.access_key_id,
            "SecretAccessKey": assumed.secret_access_key,
            "Token": assumed.session_token,
            "Expiration": _timestamp(until),
        }
        self._credentials[instance_id] = (until, known)
        return known


def instance_at(address: str) -> Any:
    """The running instance that holds a private address, by primary or secondary."""
    backend = ec2_backends[facts.ACCOUNT][facts.REGION]
    for eni in backend.enis.values():
        held = (item["PrivateIpAddress"] for item in eni.private_ip_addresses)
        if eni.instance is not None and address in held:
            return eni.instance
    return None


def _user_data(instance: Any) -> dict[str, str]:
    text = instance.user_data
    return {"user-data": text.decode()} if text else {}


def _autoscaling(instance: Any) -> dict[str, Any]:
    """What the group of an instance wants it to become, if it has one."""
    group = getattr(instance, "autoscaling_group", None)
    if group is None:
        return {}
    leaves = any(
        state.lifecycle_state.startswith("Terminat")
        for state in group.instance_states
        if state.instance is instance
    )
    target = "Terminated" if leaves else "InService"
    return {"autoscaling": {"target-lifecycle-state": target}}


def _about(instance: Any) -> dict[str, Any]:
    macs = {eni.mac_address + "/": _interface(eni) for eni in instance.nics.values()}
    tree: dict[str, Any] = {
        "ami-id": instance.image_id,
        "hostname": instance.private_dns_name,
        "instance-id": instance.id,
        "instance-type": instance.instance_type,
        "local-hostname": instance.private_dns_name,
        "local-ipv4": instance.private_ip,
        "mac": instance.nics[0].mac_address,
        "network": {"interfaces": {"macs": macs}},
        "placement": {
            "availability-zone": instance.availability_zone,
            "region": facts.REGION,
        },
        "security-groups": "\n".join(g.name for g in instance.nics[0].group_set),
    }
    if instance.public_ip:
        tree["public-ipv4"] = instance.public_ip
    if instance.metadata_options.instance_metadata_tags == "enabled":
        tags = {tag["key"]: tag["value"] for tag in instance.get_tags()}
        tree["tags"] = {"instance": tags}
    return tree


def _interface(eni: Any) -> dict[str, Any]:
    held = [item["PrivateIpAddress"] for item in eni.private_ip_addresses]
    tree = {
        "device-number": str(eni.device_index),
        "interface-id": eni.id,
        "local-ipv4s": "\n".join(held),
        "mac": eni.mac_address,
        "owner-id": eni.owner_id,
        "security-group-ids": "\n".join(group.id for group in eni.group_set),
        "subnet-id": eni.subnet.id,
        "subnet-ipv4-cidr-block": eni.subnet.cidr_block,
        "vpc-id": eni.subnet.vpc_id,
    }
    if eni.public_ip:
        tree["public-ipv4s"] = eni.public_ip
    return tree


def _identity(instance: Any) -> str:
    return json.dumps(
        {
            "accountId": facts.ACCOUNT,
            "availabilityZone": instance.availability_zone,
            "instanceId": instance.id,
            "instanceType": instance.instance_type,
            "privateIp": instance.private_ip,
            "region": facts.REGION,
            "version": "2017-09-30",
        }
    )


def role_of(instance: Any) -> Any:
    """The role of an instance's profile; None if it has none."""
    backend = ec2_backends[facts.ACCOUNT][facts.REGION]
    association = backend.iam_instance_profile_associations.get(instance.id)
    if association is None:
        return None
    roles = association.iam_instance_profile.roles
    return roles[0] if roles else None


def _lookup(tree: Any, path: str) -> str | None:
    """The value at a path; a directory answers with its entries, one per line."""
    for part in path.strip("/").split("/"):
        if not isinstance(tree, dict):
            return None
        if part in tree:
            tree = tree[part]
        elif part + "/" in tree:
            tree = tree[part + "/"]
        else:
            return None
    if isinstance(tree, dict):
        return "\n".join(
            key if key.endswith("/") or not isinstance(value, dict) else f"{key}/"
            for key, value in sorted(tree.items())
        )
    return str(tree)


def _timestamp(when: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when))
