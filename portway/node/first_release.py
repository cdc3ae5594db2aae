"""Brings the first release to a machine: the one that is published, verified.

It is given to the machine's own Python, which has nothing of Portway's yet and boto3
from its distribution. What makes it the current release is in the release itself.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

CHUNK = 1 << 20
SCRATCH = ".first-"
SIGNERS = Path("/etc/portway/release-signers")
PROGRAM = "bin/portway"


def main(root: Path, signers: Path) -> None:
    """Fetch the release, and have its program install it. Ends with why, if not."""
    stack, region = os.environ["PORTWAY_STACK"], os.environ["AWS_REGION"]
    name = f"/portway/{stack}/release"
    try:
        bring(region, name, root, signers)
    except (ClientError, BotoCoreError) as error:
        sys.exit(
            f"{name}: {error}\n  is the stack of cloudformation/agent.yaml there, and "
            "does this node have its rights?"
        )


def bring(region: str, name: str, root: Path, signers: Path) -> None:
    """The same, by the name of the parameter."""
    session = boto3.session.Session(region_name=region)
    # boto3 before Debian 13's version does not read it by itself.
    endpoint = os.environ.get("AWS_ENDPOINT_URL") or None
    ssm = session.client("ssm", endpoint_url=endpoint)
    value = ssm.get_parameter(Name=name)["Parameter"]["Value"]
    if value.strip() == "none":
        sys.exit(f"{name}: no release is published: portway release publish")
    published = json.loads(value)
    s3 = session.client("s3", endpoint_url=endpoint)
    root.mkdir(parents=True, exist_ok=True)
    for left in root.glob(f"{SCRATCH}*"):  # by one that was interrupted
        shutil.rmtree(left)
    # Beside where releases are: other places may be small, or start no programs.
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=root) as scratch:
        archive = Path(scratch, "release.tar")
        s3.download_file(published["bucket"], published["name"], str(archive))
        digest = hashlib.sha256()
        with archive.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
        if digest.hexdigest() != published["sha256"]:
            sys.exit(f"{published['name']} has another SHA-256 than was published")
        if signers.exists() and re.search(r"^\s*[^#\s]", signers.read_text(), re.M):
            signature = Path(scratch, "signature")
            key = published["name"] + ".sig"
            try:
                s3.download_file(published["bucket"], key, str(signature))
            except ClientError:  # it is not there, and who may not list is denied it
                sys.exit(f"there is no {key}: the release is not signed")
            verify(archive, signature, signers)
            signature.unlink()
        unpack = ("tar", "--extract", "--no-same-owner", "--directory", scratch)
        subprocess.run([*unpack, "--file", str(archive)], check=True)  # noqa: S603 - verified above
        archive.unlink()
        (release,) = Path(scratch).iterdir()
        done = subprocess.run([release / PROGRAM, "agent", "update"], check=False)  # noqa: S603 - the same
        sys.exit(done.returncode)


def verify(archive: Path, signature: Path, signers: Path) -> None:
    """End with what is said of it unless one of the signers has signed the archive."""
    known = ["-s", str(signature), "-f", str(signers)]
    find = ["ssh-keygen", "-Y", "find-principals", *known]
    names = subprocess.run(find, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603 - OpenSSH's own
    for name in names.stdout.splitlines():
        check = ["ssh-keygen", "-Y", "verify", *known, "-n", "portway-release"]
        with archive.open("rb") as file:
            done = subprocess.run([*check, "-I", name], stdin=file, check=False)  # noqa: S603 - the same
        if done.returncode == 0:
            return
    sys.exit(f"the release is not signed by anybody whom {signers} has")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(*sys.argv[2:3]) if sys.argv[2:] else SIGNERS)
