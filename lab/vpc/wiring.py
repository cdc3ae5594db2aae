"""The network before AWS says anything: the router, and the stations at its edge."""

from lab.ground import namespaces, shell
from lab.plan import facts
from lab.plan.facts import METADATA
from lab.plan.names import AWS, ROUTER, Lab


def make(lab: Lab) -> None:
    """Make the router and its stations, and the routes to them."""
    namespaces.make_router(lab)
    for station in facts.STATIONS:
        link = namespaces.Link(
            station.thing, station.address, station.prefix, station.gateway
        )
        namespaces.make(lab, station.thing, link)
    aws = lab.namespace(AWS)
    for address in (METADATA, facts.ARTIFACTORY_ADDRESS):
        own = ["address", "replace", f"{address}/32", "dev", "lo"]
        shell.output(["ip", "-n", aws, *own])
    for address in facts.AWS_ADDRESSES:
        route = ["route", "replace", address, "dev", AWS, "proto", "static"]
        shell.output(["ip", "-n", lab.namespace(ROUTER), *route])
    for outsider in facts.OUTSIDERS:
        route = ["route", "replace", outsider.address, "dev", outsider.device]
        shell.output(["ip", "-n", lab.namespace(ROUTER), *route, "proto", "static"])
