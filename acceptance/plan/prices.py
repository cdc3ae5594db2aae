"""What an hour of the stack costs, about: a table of list prices. Pure.

An estimate: prices change, and differ between regions.
"""

from dataclasses import dataclass

from acceptance.plan.options import Sizes

LOOKED_UP = "November 2026"
"""When; in published comparisons of prices, not on AWS's own pages."""
REGION = "us-east-1"
HOURS_OF_A_MONTH = 730

INSTANCES = {
    "t3.nano": 0.0052,
    "t3.micro": 0.0104,
    "t3.small": 0.0208,
    "t3.medium": 0.0416,
    "t4g.nano": 0.0042,
    "t4g.micro": 0.0084,
    "t4g.small": 0.0168,
    "t4g.medium": 0.0336,
}
"""On-demand, Linux, US dollars an hour."""
DATABASES = {
    "db.t4g.micro": 0.016,
    "db.t4g.small": 0.032,
    "db.t4g.medium": 0.065,
    "db.t3.micro": 0.018,
    "db.t3.small": 0.036,
}
"""On-demand, one zone, PostgreSQL, an hour."""
DISK = 0.08 / HOURS_OF_A_MONTH
"""A GB of gp3, an hour."""
DATABASE_DISK = 0.115 / HOURS_OF_A_MONTH
PUBLIC_ADDRESS = 0.005
ENDPOINT = 0.01
"""An interface endpoint in one zone, an hour."""
SECRET = 0.40 / HOURS_OF_A_MONTH
INSTANCE_DISK = 20
"""GB, in the template."""


@dataclass(frozen=True, slots=True)
class Cost:
    """One line of an estimate."""

    what: str
    dollars: float | None
    """An hour; None if the table does not have it."""


def estimate(sizes: Sizes, *, elastic_ip: bool) -> list[Cost]:
    """What the stack costs in an hour, line by line."""
    balancers, nodes = 2, sizes.application_nodes
    hosts = balancers + nodes
    addresses = hosts + elastic_ip
    disk = sizes.database_storage
    found = [
        _times(balancers, sizes.load_balancer_type, INSTANCES),
        _times(nodes, sizes.application_type, INSTANCES),
        _times(1, sizes.database_class, DATABASES),
        Cost(f"{hosts} x {INSTANCE_DISK} GB of disk", hosts * INSTANCE_DISK * DISK),
        Cost(f"{disk} GB of the database's disk", disk * DATABASE_DISK),
        Cost(f"{addresses} public IPv4 addresses", addresses * PUBLIC_ADDRESS),
        Cost("2 secrets", 2 * SECRET),
    ]
    if elastic_ip:
        found.append(Cost("an EC2 interface endpoint in 2 zones", 2 * ENDPOINT))
    return found


def told(costs: list[Cost]) -> list[str]:
    """An estimate in lines."""
    known = sum(cost.dollars or 0 for cost in costs)
    unknown = [cost.what for cost in costs if cost.dollars is None]
    width = max(len(cost.what) for cost in costs)
    return [
        *(
            f"  {cost.what:<{width}}  "
            + ("not in this table" if cost.dollars is None else f"${cost.dollars:.4f}")
            for cost in costs
        ),
        f"  about ${known:.2f} an hour, ${2 * known:.2f} for two hours"
        + (f", and {', '.join(unknown)}" if unknown else "")
        + f": an estimate from list prices in {REGION} of {LOOKED_UP}, without taxes,",
        "  traffic and remaps of the address; AWS bills at least ten minutes of a "
        "database;",
        "  CPU credits of burstable types (t3, t4g) come on top when they are used up",
    ]


def _times(count: int, type_: str, table: dict[str, float]) -> Cost:
    price = table.get(type_)
    return Cost(f"{count} x {type_}", None if price is None else count * price)
