"""Why a load balancer sees an application node as down, in HAProxy's own words. Pure.

HAProxy's codes are those of its management guide, "Statistics and monitoring",
check_status.
"""

ADVICE = {
    "L4CON": "nothing listens on its health port, or a firewall rejects the "
    "connection: look at the application",
    "L4TOUT": "nothing answers on its health port: look at the node, and whether the "
    "application nodes' security group admits both load balancers there",
    "L7TOUT": "it accepts the connection and does not answer in time: look at the "
    "application",
    "L7STS": "its health check answers anything but 200: look at the "
    "application; health_path and health_host say what it is asked",
    "L7RSP": "its answer is not HTTP: is health_path right for this application?",
    "SOCKERR": "the load balancer has no socket left for the check: look there",
}
"""What to do, by the beginning of check_status."""


def reason(status: str, code: str, text: str) -> str:
    """What the last check found, such as ``L7STS/426 (Upgrade Required)``.

    A star in front of the status says that another check is under way.
    """
    plain = status.removeprefix("* ").strip()
    if not plain:
        return ""
    return plain + (f"/{code}" if code else "") + (f" ({text})" if text else "")


def advice(found: str) -> str:
    """What to do about a reason; empty if nothing is known."""
    return next((do for code, do in ADVICE.items() if found.startswith(code)), "")
