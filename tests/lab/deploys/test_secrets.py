"""No secret is anywhere but in files that only root can read; searched everywhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.system import System, output, wait_until

READ_SECRETS = """
import boto3, json
manager = boto3.client("secretsmanager")
for secret in manager.list_secrets()["SecretList"]:
    text = manager.get_secret_value(SecretId=secret["Name"])["SecretString"]
    fields = json.loads(text)
    print(fields.get("password") or fields["token"])
"""

ROTATE = """
import boto3, json, secrets
manager = boto3.client("secretsmanager")
(name,) = [s["Name"] for s in manager.list_secrets()["SecretList"]
           if "ApplicationSecret" in s["Name"]]
old = json.loads(manager.get_secret_value(SecretId=name)["SecretString"])
new = {**old, "password": secrets.token_hex(16)}
manager.put_secret_value(SecretId=name, SecretString=json.dumps(new))
"""

SAMPLE = """
import glob, os, signal, subprocess, time
seen = set()
ready = False
def end(*_):
    with open("/run/sampled", "wb") as file:
        file.write(b"\\n".join(sorted(seen)))
    os._exit(0)  # an exception could come up where Python ignores it
signal.signal(signal.SIGTERM, end)
while True:
    for name in ("cmdline", "environ"):
        for path in glob.glob("/proc/[0-9]*/" + name):
            try:
                seen.add(open(path, "rb").read())
            except OSError:
                pass
    if not ready:
        ready = subprocess.run(["systemd-notify", "--ready"], check=True)
    time.sleep(0.005)  # no program that is given a secret lives so briefly
"""


@contextmanager
def sampled_processes(system: System) -> Iterator[list[str]]:
    """Command lines and environments of all processes on all nodes meanwhile."""
    samples: list[str] = []
    for node in system.nodes():
        run = ("systemd-run", "--quiet", "--collect", "--unit=sampler")
        begun = ("-p", "Type=notify", "-p", "NotifyAccess=all", "-p", "UMask=0077")
        system.execute(node, *run, *begun, "python3", "-c", SAMPLE)
    yield samples
    for node in system.nodes():
        system.execute(node, "systemctl", "stop", "sampler")
        samples.append(system.execute(node, "cat", "/run/sampled"))
        system.execute(node, "rm", "/run/sampled")


def readable_files_with(system: System, secrets: list[str]) -> list[str]:
    """Files on any node that hold a secret and that not only their owner can read."""
    found = []
    for name, node in system.nodes().items():
        # What differs from the image, and what is in memory.
        for path in Path(node["root"]).parent.joinpath("upper").rglob("*"):
            if path.is_file() and not path.is_symlink() and path.stat().st_mode & 0o77:
                content = path.read_bytes()
                if any(secret.encode() in content for secret in secrets):
                    found.append(f"{name}:{path}")
        search = "grep -rlIF -f - /run /tmp /var/tmp /dev/shm 2>/dev/null | xargs -r"
        listed = system.call(
            *("exec", name, "--", "sh", "-c", f"{search} stat -c '%a %n' || :"),
            stdin="\n".join(secrets) + "\n",
        ).stdout
        found += [f"{name}:{x}" for x in listed.splitlines() if x.split()[0] != "600"]
    return found


def journals(system: System) -> str:
    return "".join(
        system.execute(node, "journalctl", "--no-pager", "-o", "export", "-a")
        for node in system.nodes()
    )


def leaks(system: System, secrets: list[str], *texts: str) -> list[str]:
    """Everywhere a secret was found."""
    found = [
        f"text {number}"
        for number, text in enumerate((*texts, journals(system)))
        if any(secret in text for secret in secrets)
    ]
    return found + readable_files_with(system, secrets)


def secrets_of(system: System) -> list[str]:
    found = system.python(READ_SECRETS).split()
    assert len(found) == 3
    assert all(len(secret) >= 16 for secret in found)
    return found


def test_no_run_shows_a_secret_anywhere(site: System) -> None:
    before = secrets_of(site)
    site.python(ROTATE)
    for node in site.addresses("application"):
        site.node(node, "rm -rf /opt/message-app/releases/2.0.0")
    secrets = sorted({*before, *secrets_of(site)})
    assert len(secrets) == 4
    options = ("-vvv", "--diff", "--debug", "--data", "app_version=2.0.0")
    with sampled_processes(site) as samples:
        looked = site.deploy("--dry", *options, what="site")
        done = site.deploy("-y", *options, what="site")
    assert "Success" in output(done)
    assert all("sshd" in sample for sample in samples[:2])
    texts = (output(looked), output(done), *samples)
    assert leaks(site, secrets, *texts) == []
    config = "/etc/message-app/message-app.conf"
    assert site.node("app-1", f"stat -c '%a %U' {config}").stdout == "600 root\n"
    site.deploy(what="site")


def test_search_finds_a_secret_in_a_file_others_can_read(site: System) -> None:
    secrets = secrets_of(site)
    for path in ("/etc/leak", "/run/leak"):
        write = f"umask 022; cat >{path}"
        site.call("exec", "app-2", "--", "sh", "-c", write, stdin=secrets[0])
        assert any("leak" in place for place in leaks(site, secrets))
        site.node("app-2", f"rm {path}")
    assert leaks(site, secrets) == []


def test_search_finds_a_secret_in_a_command_line(site: System) -> None:
    with sampled_processes(site) as samples:
        site.execute("app-1", "sh", "-c", ": planted-secret; sleep 2; :")
    assert "planted-secret" in "".join(samples)


def test_search_finds_a_secret_in_a_journal(site: System) -> None:
    site.node("lb-1", "logger planted-$(echo secret)")
    wait_until(lambda: "planted-secret" in journals(site), 10, "the journal has it")
    assert "text 0" in leaks(site, ["planted-secret"])
