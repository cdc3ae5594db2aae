"""Which instance this machine is: EC2's metadata service, version 2, says so."""

from portway.errors import PortwayError

SERVICE = "http://169.254.169.254/latest"
SECONDS = 2.0
"""How long an answer may take; the service is on the same machine."""
LIFETIME = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}


def own_instance_id() -> str:
    """The id of the instance that this runs on. PortwayError if it is none."""
    return _metadata("instance-id")


def own_role() -> str:
    """The name of the role of that instance. PortwayError if it has none."""
    return _metadata("iam/security-credentials/")


def _metadata(what: str) -> str:
    import requests  # noqa: PLC0415 - other runs do without it, and start faster

    session = requests.Session()
    session.trust_env = False  # no proxy is this machine
    try:
        token = session.put(f"{SERVICE}/api/token", headers=LIFETIME, timeout=SECONDS)
        token.raise_for_status()
        answer = session.get(
            f"{SERVICE}/meta-data/{what}",
            headers={"X-aws-ec2-metadata-token": token.text},
            timeout=SECONDS,
        )
        answer.raise_for_status()
    except requests.RequestException as error:
        raise PortwayError(
            "this machine does not know which instance it is, and with which role",
            why=f"EC2's metadata service did not say: {error}",
            do="an agent runs on nodes of a stack; from elsewhere, use pyinfra",
        ) from error
    return answer.text.strip()
