"""The documents' blocks are marked, and would work."""

from pathlib import Path

import pytest

from portway.render.load_balancer import SERVICES
from tests.unit.documents.commands import commands, wrong_blocks
from tests.unit.documents.reading import DOCUMENTS, PROJECT, blocks, section


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_block_is_marked_and_would_work(path: Path) -> None:
    assert wrong_blocks(path.read_text()) == []


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("", "make test"),
        ("bash", "make test"),
        ("sh", "make tea"),
        ("sh", "pyinfra inventories/prod.py deploys/lb.py"),
        ("sh", "rm -rf /"),
        ("sh", ".venv/bin/pip install -r no.txt"),
        ("sh", ".venv/bin/python -m no_such_module"),
        ("sh", ".venv/bin/python -m lab dance"),
        ("sh", ".venv/bin/python -m lab failover --only tea-break"),
        ("sh aws", ".venv/bin/python -m acceptance --stack"),
        ("sh aws", ".venv/bin/python -m acceptance --stack a --only tea-break"),
        ("sh aws", ".venv/bin/python -m acceptance --stack a --data app_versoin=1"),
        ("sh", ". .venv/bin/activated"),
        (
            "sh",
            ".venv/bin/python -m lab run -- pyinfra inventories/lab.py deploys/x.py",
        ),
        ("sh", ".venv/bin/python -m lab exec lb-1 -- systemctl status nginx"),
        ("sh", ".venv/bin/portway reference docs/nowhere.md"),
        ("sh", ".venv/bin/pytest tests/nowhere"),
        ("sh", "export PORTWAY_NOTHING=1"),
        ("sh", "make test 'unclosed"),
        ("sh aws", "aws ec3 describe-instances"),
        ("sh aws", "aws ec2 describe-everything"),
        ("sh aws", "aws ec2 wait instance-bored --instance-ids i-1"),
        ("sh aws", "aws ec2 wait instance-running --instance i-1"),
        ("sh aws", "aws ec2 describe-instances --filter Name=a"),
        ("sh aws", "aws ec2 create-tags --resources i-1"),
        ("sh aws", "aws ec2 describe-instances --query 'a[?b==`c`]'"),
        ("sh aws", "aws ec2 describe-instances --query 'a[?'"),
        ("sh aws", "aws cloudformation deploy --stack-name a --template-file b.yaml"),
        (
            "sh aws",
            "aws cloudformation deploy --stack-name a "
            "--template-file cloudformation/stack.yaml --parameter-overrides Nodes=3",
        ),
        ("sh aws", "portway trust inventories/nowhere.py"),
        ("sh aws", "portway trust inventories/prod.py --force"),
        ("sh", "portway explain group_data/nowhere.py:4"),
        ("sh", "portway explain /etc/haproxy.cfg:4 --node lb-1 --from saved.json"),
        ("sh", "portway render --from saved.json"),
        ("sh aws", "pyinfra inventories/prod.py"),
        ("sh aws", "pyinfra inventories/nowhere.py deploys/lb.py"),
        ("sh aws", "pyinfra inventories/prod.py deploys/lb.py --dri"),
        ("sh aws", "pyinfra inventories/prod.py deploys/lb.py --serial"),
        ("sh aws", "pyinfra inventories/prod.py deploys/lb.py --data transfer=lb-2"),
        ("sh node", "sudo systemctl restart nginx"),
        ("sh node", "systemctl mask haproxy"),
        ("sh node", "sudo rm /etc/systemd/system/nginx.service"),
        ("sh node", "journalctl -u nginx"),
        ("sh node", "sudo portway-address move"),
        ("sh node", "echo show stat | sudo socat - UNIX-CONNECT:/run/no.sock"),
        ("sh node", "sudo /usr/local/lib/portway/check"),
        ("json", '{"clients": [{"client_name": "a", "client_prt": 9001}]}'),
        ("json", "{"),
        ("python", 'app_versoin = "1.0.0"'),
        ("python", "drain_timeout = -1"),
        ("python", "drain_timeout ="),
    ],
)
def test_bad_block_is_found(kind: str, text: str) -> None:
    assert wrong_blocks(f"```{kind}\n{text}\n```\n")


def test_indented_block_and_unclosed_fence_are_found() -> None:
    assert wrong_blocks("Run this:\n\n    make test\n")
    assert wrong_blocks("```sh\nmake test\n")


def test_good_blocks_are_not_found() -> None:
    text = "```sh\nmake test  # all of it\n```\n\n```text\nanything | at 'all\n```\n"
    assert wrong_blocks(text) == []
    aws = (
        "aws ec2 modify-instance-attribute --no-source-dest-check \\\n"
        "    --instance-id i-…"
    )
    assert wrong_blocks(f"```sh aws\n{aws}\n```\n") == []


KNOWN_TO_0_1_0 = {"haproxy", "keepalived", "portway-address"}


def test_going_back_removes_every_unit_that_the_older_version_does_not_know() -> None:
    back = section((PROJECT / "docs" / "upgrading.md").read_text(), "Go back")
    (block,) = (block for block in blocks(back) if block.kind == "sh node")
    disable, remove, _ = (words[1:] for words in commands(block.text))
    newer = {service.unit: service.override for service in SERVICES}
    for unit in KNOWN_TO_0_1_0:
        del newer[unit]
    assert disable[:2] == ["systemctl", "disable"]
    assert set(disable[3:]) == set(newer)
    assert set(remove[1:]) == set(newer.values())
