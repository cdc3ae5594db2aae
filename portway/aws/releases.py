"""Releases in AWS: archives in a bucket, and a parameter that says which one counts.

A node may have another one for trial; the parameter says that, too.
"""

import base64
import hashlib
from pathlib import Path

from portway.aws.client import Aws
from portway.aws.errors import AwsCallError, Call, translate_aws_errors
from portway.aws.own_instance import own_instance_id
from portway.aws.reading import describe_stack
from portway.errors import PortwayError
from portway.model.published import (
    SIGNATURE,
    Publication,
    Published,
    Trial,
    parameter_name,
)

BUCKET_OUTPUT = "ReleaseBucket"
CHUNK = 1 << 20
MOST_OF_A_SIGNATURE = 1 << 16
"""Bytes."""
SHA256 = "sha256"
"""The metadata of an archive in the bucket that says what it has."""


def release_bucket(region: str, stack: str) -> str:
    """The bucket that the agent's stack of a stack has made.

    PortwayError if there is no such stack.
    """
    name = f"{stack}-agent"
    found = describe_stack(Aws(region), name)
    if found is None:
        raise PortwayError(
            f"stack {name}: there is no such stack in {region}",
            why="its bucket is where releases are published",
            do="create it from cloudformation/agent.yaml",
        )
    outputs = {o["OutputKey"]: o["OutputValue"] for o in found.get("Outputs", ())}
    if BUCKET_OUTPUT not in outputs:
        raise PortwayError(
            f"stack {name}: it has no output {BUCKET_OUTPUT}",
            do="update it with this version's cloudformation/agent.yaml",
        )
    return str(outputs[BUCKET_OUTPUT])


def publish(region: str, stack: str, archive: Path, bucket: str) -> Published:
    """Put an archive into a bucket, and have all of the stack's nodes run it."""
    published = _put(region, archive, bucket)
    _say(region, stack, Publication(published))
    return published


def put_on_trial(
    region: str, stack: str, archive: Path, bucket: str, instance: str
) -> Published:
    """Put an archive into a bucket, and have one instance run it instead of the other.

    PortwayError if none is published for the others.
    """
    _for_all(region, stack)  # before anything is sent
    published = _put(region, archive, bucket)
    others = _for_all(region, stack)  # which somebody may have published meanwhile
    _say(region, stack, Publication(others, Trial(instance, published)))
    return published


def end_trial(region: str, stack: str) -> Trial | None:
    """Have all nodes run what is published; the trial that there was, if any."""
    found = publication(region, stack)
    if found is None or found.trial is None:
        return None
    _say(region, stack, Publication(found.release))
    return found.trial


def _for_all(region: str, stack: str) -> Published:
    found = publication(region, stack)
    if found is None:
        raise PortwayError(
            f"stack {stack}: no release is published, which the other nodes would run",
            do="publish the one that they are to run: portway release publish",
        )
    return found.release


def _put(region: str, archive: Path, bucket: str) -> Published:
    """Put an archive into a bucket.

    S3 verifies what it gets. What it has already is not sent again.
    """
    aws, about = Aws(region), f"release {archive.name}"
    try:
        with archive.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
            published = Published(bucket, archive.name, digest.hexdigest())
            checksum = base64.b64encode(digest.digest()).decode()
            if _sha256(aws, published, about) != published.sha256:
                file.seek(0)
                aws.call(
                    "s3",
                    "put_object",
                    about,
                    Bucket=bucket,
                    Key=archive.name,
                    Body=file,
                    ChecksumSHA256=checksum,
                    Metadata={SHA256: published.sha256},
                )
    except OSError as error:
        raise PortwayError(f"{archive} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise PortwayError(
            f"{archive.name} cannot be published: {error}",
            do="publish what portway release build wrote, under the name that it has",
        ) from error
    _put_signature(aws, published, archive, about)
    return published


def _put_signature(aws: Aws, published: Published, archive: Path, about: str) -> None:
    """Put the signature into the bucket that is beside an archive, if one is."""
    file = archive.with_name(archive.name + SIGNATURE)
    try:
        signature = file.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise PortwayError(f"{file} cannot be read ({error.strerror})") from error
    key = published.name + SIGNATURE
    aws.call(
        "s3", "put_object", about, Bucket=published.bucket, Key=key, Body=signature
    )


def _say(region: str, stack: str, found: Publication) -> None:
    """Have the stack's nodes run something."""
    Aws(region).call(
        "ssm",
        "put_parameter",
        f"stack {stack}",
        Name=parameter_name(stack),
        Value=found.to_json(),
        Type="String",
        Overwrite=True,
    )


def _sha256(aws: Aws, published: Published, about: str) -> str:
    """The SHA-256 of what is in the bucket; empty if that is nothing of ours."""
    try:
        found = aws.call(
            "s3",
            "head_object",
            about,
            Bucket=published.bucket,
            Key=published.name,
        )
    except AwsCallError as error:
        # Whoever may not list a bucket is told that access is denied.
        if error.code not in ("404", "403", "NoSuchKey"):
            raise
        return ""
    return str(found.get("Metadata", {}).get(SHA256, ""))


def published_release(region: str, stack: str) -> Published | None:
    """The release that this node of a stack is to run; None while there is none.

    PortwayError if there is no such parameter, or it says something else.
    """
    found = publication(region, stack)
    return None if found is None else found.here(own_instance_id)


def publication(region: str, stack: str) -> Publication | None:
    """What a stack's nodes are to run; None while that is nothing.

    PortwayError if there is no such parameter, or it says something else.
    """
    name = parameter_name(stack)
    try:
        value = Aws(region).call("ssm", "get_parameter", f"stack {stack}", Name=name)[
            "Parameter"
        ]["Value"]
    except AwsCallError as error:
        if error.code != "ParameterNotFound":
            raise
        raise PortwayError(
            f"stack {stack}: there is no parameter {name} in {region}",
            do="create the stack of cloudformation/agent.yaml",
        ) from error
    try:
        return Publication.from_json(str(value))
    except ValueError as error:
        raise PortwayError(
            f"stack {stack}: the parameter {name} says no release: {error}",
            do="publish one again: portway release publish",
        ) from error


def fetch_signature(region: str, published: Published, to: Path) -> None:
    """Write the signature of a release into a file. PortwayError if there is none."""
    about = f"the signature of release {published.name}"
    key = published.name + SIGNATURE
    try:
        answer = Aws(region).call(
            "s3", "get_object", about, Bucket=published.bucket, Key=key
        )
        with translate_aws_errors(Call("s3:GetObject", about, region)):
            to.write_bytes(answer["Body"].read(MOST_OF_A_SIGNATURE))
    except AwsCallError as error:
        # Whoever may not list a bucket is told that access is denied.
        if error.code not in ("AccessDenied", "NoSuchKey"):
            raise
        raise PortwayError(
            f"release {published.name} is not signed, and this node asks for a "
            f"signature",
            do="sign it and publish it again: docs/agent.md, Signed releases",
        ) from error
    except OSError as error:
        raise PortwayError(f"{to} cannot be written ({error.strerror})") from error


def fetch(region: str, published: Published, to: Path) -> None:
    """Write a release's archive into a file. PortwayError if it is another one."""
    about = f"release {published.name}"
    try:
        answer = Aws(region).call(
            "s3", "get_object", about, Bucket=published.bucket, Key=published.name
        )
    except AwsCallError as error:
        # Whoever may not list a bucket is told that access is denied.
        if error.code not in ("AccessDenied", "NoSuchKey", "NoSuchBucket"):
            raise
        raise PortwayError(
            f"{about} is not in bucket {published.bucket}",
            why="or this node may not read it",
            do="publish it again: portway release publish; or update the stack of "
            "cloudformation/agent.yaml",
        ) from error
    digest = hashlib.sha256()
    reading = translate_aws_errors(Call("s3:GetObject", about, region))
    try:
        with to.open("wb") as file, reading:
            for chunk in answer["Body"].iter_chunks(CHUNK):
                digest.update(chunk)
                file.write(chunk)
    except OSError as error:
        raise PortwayError(f"{to} cannot be written ({error.strerror})") from error
    if digest.hexdigest() != published.sha256:
        raise PortwayError(
            f"{about}: its SHA-256 is {digest.hexdigest()}, and {published.sha256} was "
            "published",
            why="somebody has replaced it in the bucket, or it was cut off",
            do="publish it again: portway release publish",
        )
