"""``portway release``: a checkout with all it needs in one archive, for nodes."""

from dataclasses import asdict
from pathlib import Path

import click

from portway.cli.options import json_option, node_option, stack_options
from portway.cli.output import print_json
from portway.contract.archives import DEBIAN

TO = Path("releases")
DEFAULT = ("debian13-amd64", "debian13-arm64")


@click.group("release", epilog="Example: portway release build")
def command() -> None:
    """Releases: this checkout with everything it needs, in one archive, for nodes.

    Each verb of it has --json.
    """


@command.command("build", epilog="Example: portway release build --for debian13-amd64")
@click.option(
    "--for",
    "machines",
    type=click.Choice(list(DEBIAN)),
    multiple=True,
    default=DEFAULT,
    show_default=True,
    help="Machines that it is to run on; may be given several times.",
)
@click.option(
    "--to",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    default=TO,
    show_default=True,
    help="Folder to write the archive into.",
)
@click.option(
    "--uncommitted", is_flag=True, help="Have in it what git does not have, too."
)
@json_option
def build_command(
    machines: tuple[str, ...], to: Path, uncommitted: bool, as_json: bool
) -> None:
    """Build an archive of this checkout, with its settings and clients.

    It has the wheels of everything that is needed, as requirements.txt has them, so
    that it runs where there is no internet and nothing is installed but Python. The
    same commit gives the same archive, byte for byte.
    """
    from portway.agent.building import build

    built = build(Path.cwd(), machines, to, uncommitted=uncommitted)
    if as_json:
        found = {"file": str(built.file), "version": built.version}
        print_json(found | {"sha256": built.sha256, "size": built.size})
        return
    click.echo(f"{built.file}: {built.size / 2**20:.0f} MiB for {', '.join(machines)}")
    click.echo(f"sha256 {built.sha256}")


@command.command("publish", epilog="Example: portway release publish releases/X.tar")
@click.argument("archive", type=click.Path(path_type=Path))
@stack_options
@json_option
def publish_command(archive: Path, stack: str, region: str, as_json: bool) -> None:
    """Put an archive where the nodes of a stack find it, and have them take it.

    ARCHIVE is what portway release build wrote. To go back to an earlier release,
    publish that one again.
    """
    from portway.aws.releases import publish, release_bucket

    published = publish(region, stack, archive, release_bucket(region, stack))
    if as_json:
        print_json({"stack": stack, **asdict(published)})
        return
    click.echo(f"stack {stack}: {published.name} in {published.bucket}")
    click.echo(f"sha256 {published.sha256}")


@command.command(
    "try", epilog="Example: portway release try --node lb-2 releases/X.tar"
)
@click.argument("archive", type=click.Path(path_type=Path))
@node_option(required=True)
@stack_options
@json_option
def try_command(
    archive: Path, node: str, stack: str, region: str, as_json: bool
) -> None:
    """Have one node of a stack run an archive, and the others what is published.

    ARCHIVE is what portway release build wrote. It goes on until portway release
    resume, or until another one is published or tried; a node that AWS launches in
    place of this one does not take part.
    """
    from portway.aws.discovery import Need
    from portway.aws.reading import read_stack
    from portway.aws.releases import put_on_trial, release_bucket

    found = read_stack(stack, region, need=Need.NOTHING)
    instance = found.node(node).instance_id
    bucket = release_bucket(region, stack)
    tried = put_on_trial(region, stack, archive, bucket, instance)
    if as_json:
        print_json(
            {"stack": stack, "node": node, "instance": instance, **asdict(tried)}
        )
        return
    click.echo(f"stack {stack}: {tried.name} on {node} ({instance}) alone")
    click.echo(f"sha256 {tried.sha256}")


@command.command("resume", epilog="Example: portway release resume")
@stack_options
@json_option
def resume_command(stack: str, region: str, as_json: bool) -> None:
    """End a trial: all nodes of a stack run what is published."""
    from portway.aws.releases import end_trial

    trial = end_trial(region, stack)
    if as_json:
        print_json({"stack": stack, "was": asdict(trial) if trial else None})
    elif trial is None:
        click.echo(f"stack {stack}: no node has a release on trial")
    else:
        click.echo(
            f"stack {stack}: {trial.instance} no longer tries {trial.release.name}"
        )
