"""Clients of a load balancer that Chef kept move over, as ``docs/from-chef.md`` says.

The old one is a host of its own with an address of its own, in front of the same
application. What is done is read from the document, in its order.
"""

import json
import re
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.plan.facts import CUSTOMERS, STACK
from lab.plan.names import Lab
from lab.traffic.load import Load, missing
from lab.traffic.senders import Where
from tests.lab.system import PROJECT, System, output
from tests.unit.documents.reading import blocks, section

DOCUMENT = (PROJECT / "docs" / "from-chef.md").read_text()
LAUNCH = """
import boto3, sys
ec2 = boto3.client("ec2")
(found,) = ec2.describe_instances(Filters=[
    {"Name": "private-ip-address", "Values": [sys.argv[1]]},
    {"Name": "instance-state-name", "Values": ["running"]}])["Reservations"]
like = found["Instances"][0]
(new,) = ec2.run_instances(
    ImageId=like["ImageId"], MinCount=1, MaxCount=1, InstanceType="t3.small",
    SubnetId=like["SubnetId"],
    SecurityGroupIds=[group["GroupId"] for group in like["SecurityGroups"]],
    TagSpecifications=[{"ResourceType": "instance", "Tags": [
        {"Key": "Name", "Value": "old-lb"},
        # Of the lab's stack, so that the lab has a host for it; and without a role, so
        # that it is none of Portway's.
        {"Key": "portway:stack", "Value": sys.argv[2]}]}])["Instances"]
address = ec2.allocate_address(Domain="vpc")
ec2.associate_address(
    AllocationId=address["AllocationId"], InstanceId=new["InstanceId"])
print(new["PrivateIpAddress"], address["PublicIp"],
      new["InstanceId"], address["AllocationId"])
"""
REMOVE = """
import boto3, sys
ec2 = boto3.client("ec2")
ec2.terminate_instances(InstanceIds=[sys.argv[1]])
ec2.release_address(AllocationId=sys.argv[2])
"""
INSTALL = "DEBIAN_FRONTEND=noninteractive apt-get install -qq -y haproxy >/dev/null"
PUT = """
cat >/etc/haproxy/haproxy.cfg <<'END'
{text}END
haproxy -c -q -f /etc/haproxy/haproxy.cfg && systemctl {verb} haproxy
"""
HEAD = """\
global
  log /dev/log local0
  maxconn 4096
  stats socket /run/haproxy/admin.sock level admin

defaults
  log global
  retries 3
  option redispatch
  timeout connect 5s
  timeout client 1d
  timeout server 1d
  balance leastconn
"""
CLIENTS = {
    "client_one": 9001,
    "client_two": 9002,
    "client_two_orders": 9003,
    "client_web": 9004,
}
WEB = "client_web"
NAME = "lb.example.com"
WANTED = {
    "balance",
    "a server that does not accept",
    "health check",
    "keepalives to clients",
    "keepalives to servers",
    "streams of a server that fails",
    "timeout client",
    "timeout connect",
    "timeout server",
    "timeout tunnel",
    "X-Forwarded-For",
}
"""What may differ: nothing that decides who serves whom."""


@dataclass(frozen=True)
class Old:
    """The load balancer that Chef kept."""

    system: System
    private: str
    public: str

    def file(self, moved: dict[str, list[str]] | None = None) -> str:
        """Its haproxy.cfg, with the servers that a client has now."""
        nodes = self.system.addresses("application").items()
        text = HEAD
        for client, port in CLIENTS.items():
            mode = "http" if client == WEB else "tcp"
            backup = {"app-2": " backup"} if client == "client_two_orders" else {}
            servers = [
                f"server {node} {address} check port 8081{backup.get(node, '')}"
                for node, address in nodes
            ]
            lines = [f"mode {mode}", f"bind {self.private}:{port}"]
            if client == "client_two":
                allowed = f"{{ src {CUSTOMERS[0].address} }}"
                lines.append(f"tcp-request connection reject unless {allowed}")
            lines += (moved or {}).get(client, servers)
            text += f"\nlisten {client}\n" + "".join(f"  {line}\n" for line in lines)
        return text

    def put(self, text: str, verb: str = "restart") -> float:
        """Have it run with a file; when that was begun."""
        began = time.time()
        self.system.node("old-lb", PUT.format(text=text, verb=verb))
        return began


@pytest.fixture
def old(settled: System) -> Iterator[Old]:
    like = settled.addresses("load-balancer")["lb-1"]
    private, public, *ids = settled.python(LAUNCH, like, STACK).split()
    settled.up()
    found = Old(settled, private, public)
    settled.node("old-lb", INSTALL)
    found.put(found.file())
    yield found
    settled.python(REMOVE, *ids)
    settled.up()
    settled.deploy()


@dataclass(frozen=True)
class Checkout:
    """A copy of the project, where a new user works as the document says."""

    system: System
    folder: Path

    def run(self, script: str, check: bool = True) -> str:
        """What commands print, as they are in the document."""
        program = f'portway() {{ {sys.executable} -m portway.cli.main "$@"; }}\n'
        words = ("env", "-C", str(self.folder), "bash", "-e", "-c", program + script)
        result = self.system.operator(*words, check=False)
        assert not check or result.returncode == 0, output(result)
        return result.stdout

    def deploy(self) -> None:
        self.system.deploy(inventory="inventories/prod.py", project=self.folder)


@pytest.fixture
def checkout(old: Old, tmp_path: Path) -> Checkout:
    """With the settings that every lab needs, and with exports from Chef."""
    folder = tmp_path / "checkout"
    ignored = shutil.ignore_patterns(".*", "__pycache__", "tests", "docs")
    shutil.copytree(PROJECT, folder, ignore=ignored)
    own = (folder / "group_data" / "lab.py").read_text()
    settings = folder / "group_data" / "prod.py"
    kept = [line for line in own.splitlines() if "clients_file" not in line]
    settings.write_text("\n".join([settings.read_text(), *kept, ""]))
    for name, exported in exports(old).items():
        (folder / f"{name}.json").write_text(f"// knife\n{json.dumps(exported)}")
    (folder / "old.cfg").write_text(old.file())
    return Checkout(old.system, folder)


def exports(old: Old) -> dict[str, object]:
    """What ``knife`` shows of the old one: the node with its ``-l``, role, and
    environment."""
    office = {"name": "the office", "network": CUSTOMERS[0].address}
    more: dict[str, dict[str, object]] = {
        "client_two": {"allow": [office]},
        "client_two_orders": {"ordered": "true"},
        "client_web": {"mode": "http"},
    }
    clients = [
        {"client_name": name, "client_port": str(port), **more.get(name, {})}
        for name, port in CLIENTS.items()
    ]
    nodes = [
        {"app_node_name": name, "app_node_ip": address}
        for name, address in old.system.addresses("application").items()
    ]
    default = {
        "message_lb": {
            "clients": clients,
            "app_nodes": nodes,
            "idle_timeout": "1d",
            "vip": old.public,
        }
    }
    override = {"message_lb": {"balance": "leastconn"}}
    return {
        "node": {
            "name": "lb1.example.com",
            "chef_environment": "prod",
            "run_list": ["role[message_lb]"],
            "normal": {"tags": []},
            "default": default,
            "override": override,
            "automatic": {"fqdn": "lb1.example.com", "ipaddress": old.private},
        },
        "message_lb": {
            "name": "message_lb",
            "chef_type": "role",
            "json_class": "Chef::Role",
            "default_attributes": default,
            "override_attributes": {},
            "run_list": ["recipe[message_lb]"],
        },
        "prod": {
            "name": "prod",
            "chef_type": "environment",
            "json_class": "Chef::Environment",
            "default_attributes": {},
            "override_attributes": override,
        },
    }


def commands(title: str) -> str:
    """The commands of a section of the document."""
    found = blocks(section(DOCUMENT, title))
    return "\n".join(block.text for block in found if block.kind.startswith("sh"))


def servers(old: Old) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The lines that the document has a client's section get: the first client's, who
    goes by the public address, and those of all, the others by the private ones."""
    said = re.findall(r"^ +(server portway\S* .*)$", DOCUMENT, re.MULTILINE)
    assert [line.split()[1] for line in said] == ["portway", "portway-1", "portway-2"]
    known = {
        "203.0.113.9": old.system.address,
        "10.60.0.11": old.system.addresses("load-balancer")["lb-1"],
        "10.60.1.11": old.system.addresses("load-balancer")["lb-2"],
    }

    def at(port: int, line: str) -> str:
        (place,) = re.findall(r"[\d.]+:9001", line)
        return line.replace(place, f"{known[place.removesuffix(':9001')]}:{port}")

    lines: dict[str, list[str]] = {}
    for client, port in CLIENTS.items():
        chosen = said[:1] if client == "client_one" else said[1:]
        lines[client] = [at(port, line) for line in chosen]
    return {"client_one": lines["client_one"]}, lines


def answered(system: System, address: str) -> bool:
    """Whether a message of each kind of client arrives at an address."""
    ask = (sys.executable, "-m", "lab.traffic.messages", "ask", address)
    kinds = [(9001, "tcp"), (9002, "tcp"), (9004, "http")]
    said = [system.client(*ask, str(port), "--mode", mode) for port, mode in kinds]
    return all(
        re.fullmatch(rf"app-\d {port}\n", text)
        for (port, _), text in zip(kinds, said, strict=True)
    )


def served_by_new(system: System) -> set[int]:
    """The ports of the streams that the new load balancers have."""
    filter_ = "'( sport >= :9001 and sport <= :9004 )'"
    lines = "".join(
        system.node(lb, f"ss -Htn state established {filter_}").stdout
        for lb in ("lb-1", "lb-2")
    ).splitlines()
    return {int(line.split()[2].rpartition(":")[2]) for line in lines}


@pytest.mark.alone
def test_clients_move_over_and_back_and_no_message_is_lost(
    old: Old, checkout: Checkout, tmp_path: Path
) -> None:
    system, lab = old.system, Lab(old.system.name)
    names = tmp_path / "names"
    names.write_text(f"{old.public} {NAME}\n")
    (longest,) = re.findall(r"without service for more than ([\d.]+) s", DOCUMENT)

    ports = [*CLIENTS.values()]
    where = Where(NAME, names, http=(CLIENTS[WEB],))
    with Load.start(lab, where, ports, clients=12) as load:
        load.wait_until_served()

        taken = checkout.run(commands("Take over"))
        assert "Not understood:\n  message_lb.vip\n" in taken
        assert taken.endswith("inventories/prod.py: no problems\n")

        compare = commands("Compare").replace("10.0.0.5", old.private)
        *_, last = compare.splitlines()
        same = checkout.run(f"{compare} || [ $? = 2 ]\n{last} --routes-only")
        assert same.endswith("\nports: 4 same\n"), same
        text = checkout.run(f"{last} --json || true")
        reports = json.loads(text)["ports"]
        assert {d["what"] for port in reports for d in port["differences"]} <= WANTED

        checkout.deploy()
        rendered = checkout.folder / "new" / "etc" / "haproxy" / "haproxy.cfg"
        on_node = system.node("lb-1", "cat /etc/haproxy/haproxy.cfg").stdout
        assert on_node == rendered.read_text()
        assert answered(system, system.address)

        clients = checkout.folder / "group_data" / "clients" / "prod.json"
        wished = json.loads(clients.read_text())
        for client in wished["clients"]:
            if "allow" in client:
                client["allow"] += [f"{old.public}/32", f"{old.private}/32"]
        clients.write_text(json.dumps(wished))
        checkout.deploy()
        assert served_by_new(system) == set()

        one, all_ = servers(old)
        old.put(old.file(one), "reload")
        assert answered(system, old.public)
        load.wait_until_served(old.put(old.file(one)) + 1)
        assert served_by_new(system) == {9001}
        load.wait_until_served(old.put(old.file(all_)) + 1)
        assert served_by_new(system) == {*ports}
        assert answered(system, old.public)

        load.wait_until_served(old.put(old.file()) + 1)
        assert served_by_new(system) == set(), "backed out"
        load.wait_until_served(old.put(old.file(all_)) + 1)
        assert served_by_new(system) == {*ports}, "forward again"

        names.write_text(f"{system.address} {NAME}\n")
        system.node("old-lb", "systemctl stop haproxy")
        load.wait_until_served(time.time())
        assert answered(system, system.address)
        report = load.stop()

    print(f"outages: {', '.join(f'{s:.3f}' for s in sorted(report.outages()))} s")
    assert missing(lab, report) == set()
    assert max(report.outages()) <= float(longest)
