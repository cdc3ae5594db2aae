"""What docs/aws.md says was never seen, line by line, and how each is observed. Pure.

A line is known by how it begins. A test compares the two: a line that is not here, or
the other way round, fails it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from portway.contract.address import AddressKind


class After(StrEnum):
    """After which part of a run something can be observed."""

    CREATION = "creation"
    DEPLOY = "deploy"
    TRANSFER = "transfer"
    LOAD_BALANCER = "load-balancer"
    ROTATION = "rotation"
    UPDATE = "update"
    SHRINK = "shrink"
    DELETION = "deletion"


@dataclass(frozen=True, slots=True)
class Item:
    """One line of docs/aws.md."""

    begins: str
    after: After | None = None
    """None if it cannot be observed."""
    because: str = ""
    """Why not."""
    kinds: tuple[AddressKind, ...] = tuple(AddressKind)
    """The kinds of address with which it can be."""
    tunnel: bool = False
    """Whether it takes an Instance Connect Endpoint."""

    def is_seen(self, kind: AddressKind, *, has_tunnel: bool) -> bool:
        """Whether a run of this kind can observe it."""
        has_way = has_tunnel or not self.tunnel
        return self.after is not None and kind in self.kinds and has_way


EIP = (AddressKind.ELASTIC_IP,)
PRIVATE = (AddressKind.PRIVATE,)
ROUTE = (AddressKind.ROUTE,)
GROUPS_ONLY = (
    "the run makes load balancers as groups, whose permissions and updates are others"
)
NO_LOOK = "a run does not look for drift: portway drift says what it cannot do"

ITEMS: Mapping[str, Item] = {
    # --- Moving the address
    "elastic-ip-moves": Item(
        "`AssociateAddress` with `AllowReassociation`", After.TRANSFER, kinds=EIP
    ),
    "holder-is-shown": Item(
        "`DescribeAddresses` shows the new holder", After.TRANSFER, kinds=EIP
    ),
    "streams-are-cut": Item("A move cuts the streams", After.TRANSFER),
    "public-address-returns": Item(
        "An instance that loses the Elastic IP", After.TRANSFER, kinds=EIP
    ),
    "private-address-moves": Item(
        "`AssignPrivateIpAddresses` with `AllowReassignment`",
        After.TRANSFER,
        kinds=PRIVATE,
    ),
    "foreign-address-refused": Item(
        "The same call for 192.0.2.1", After.DEPLOY, kinds=PRIVATE
    ),
    "shared-route-tables": Item(
        "`DescribeRouteTables` shows the tables of a shared VPC",
        because="it takes a second account that shares its VPC",
    ),
    "route-moves": Item("`ReplaceRoute` takes effect", After.TRANSFER, kinds=ROUTE),
    "dry-run": Item("A call with `DryRun`", After.DEPLOY),
    "throttling": Item(
        "Throttling has one of the names",
        because="to provoke it would throttle everything else in the account",
    ),
    # --- Permissions
    "associate-address-judged": Item(
        "`AssociateAddress` is judged", After.DEPLOY, kinds=EIP
    ),
    "interface-tags": Item("Tags that a launch template gives", After.CREATION),
    "vpc-and-subnet-keys": Item("The condition key `ec2:Vpc`", because=GROUPS_ONLY),
    "source-check-key": Item(
        "The condition key `ec2:Attribute/SourceDestCheck`", After.DEPLOY, kinds=ROUTE
    ),
    "route-table-key": Item(
        "The condition key `ec2:RouteTableID`", After.DEPLOY, kinds=ROUTE
    ),
    "create-tags-judged": Item("`CreateTags` on an instance", After.DEPLOY),
    "master-secret-tag": Item("The secret that RDS makes", After.CREATION),
    "drift-rights": Item("`DetectStackDrift` reads", because=NO_LOOK),
    "own-instance": Item(
        "`aws:userid` of a role on an instance",
        because="no node of a run deploys to itself",
    ),
    # --- The template
    "rules": Item("`Fn::RefAll` in a rule", After.CREATION),
    "client-networks": Item("A change of `ClientCidrs`", After.UPDATE),
    "security-groups-added": Item(
        "A group added to `SecurityGroupIds`", because=GROUPS_ONLY
    ),
    "launch-template-version": Item("A new version of a launch template", After.UPDATE),
    "instance-into-group": Item(
        "An update that turns an instance into a group", because=GROUPS_ONLY
    ),
    "group-launches-another": Item("A group of one launches", After.LOAD_BALANCER),
    "second-group-later": Item("The second group is created", After.CREATION),
    "young-database-deleted": Item(
        "A database that is still being created",
        because="it takes a creation that fails; a run that is interrupted while the "
        "database is created shows it, by whether its clean-up ends",
    ),
    "failed-deletion": Item(
        "A deletion that a protected database",
        because="a run's database is not protected, and its policy is detached before",
    ),
    "rules-of-change-sets": Item(
        "Rules are judged when a change set",
        because="a run makes its stack by CreateStack, with parameters that fit",
    ),
    "elastic-ip-retained": Item(
        "`RetainExceptOnCreate` keeps", After.DELETION, kinds=EIP
    ),
    "image-resolved": Item("EC2 resolves `resolve:ssm:`", After.CREATION),
    "debian-for-arm": Item("Debian publishes", After.CREATION),
    "newest-goes": Item("With `NewestInstance`", After.SHRINK),
    "endpoint-name": Item(
        "A private DNS name of an EC2 endpoint", After.TRANSFER, kinds=EIP
    ),
    "drift-detection": Item("`DetectStackDrift` for some", because=NO_LOOK),
    "rule-ids": Item("The id of a resource that is a rule", because=NO_LOOK),
    "drift-of-rights": Item("IAM gives a policy back", because=NO_LOOK),
    "drift-undone": Item("A change set with `REVERT_DRIFT`", because=NO_LOOK),
    # --- Instances
    "attach-time": Item(
        "The primary interface's `AttachTime`",
        because="every instance of the run is in a group, which terminates one that is "
        "stopped",
    ),
    "console-host-keys": Item("cloud-init of Debian's image", After.CREATION),
    "console-latest": Item("`GetConsoleOutput` with `Latest`", After.CREATION),
    "tunnel": Item("`aws ec2-instance-connect open-tunnel`", After.DEPLOY, tunnel=True),
    "tunnel-source": Item(
        "A tunnel through an Instance Connect Endpoint", After.DEPLOY, tunnel=True
    ),
    "ssh-in-time": Item("An instance's SSH server answers", After.LOAD_BALANCER),
    "image-login": Item("Debian's image logs in", After.DEPLOY),
    "vrrp": Item("Security groups let IP protocol 112", After.DEPLOY),
    "routed-packets": Item("A VPC delivers packets", After.DEPLOY, kinds=ROUTE),
    # --- The database
    "young-database": Item("`Endpoint` is absent", After.CREATION),
    "database-status": Item(
        "The status is one of those",
        because="it takes a database that is full, failed or stopped",
    ),
    "master-user": Item("RDS's master user may lock", After.ROTATION),
    "triggers": Item(
        "`log_bin_trust_function_creators`",
        because="it takes a vendor's SQL files that make triggers, on MySQL or MariaDB",
    ),
}
