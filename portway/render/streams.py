"""The stream keeper as a load balancer gets it: program, unit and config."""

import hashlib

from portway.contract import paths
from portway.contract.streams import OrderedBackend, StreamsConfig
from portway.model.cluster import Cluster
from portway.render.files import ManagedFile, Service
from portway.render.node_programs import node_program
from portway.render.templates import render

MODULES = ("node/streams/*.py", "node/host.py")

STREAM_KEEPER = Service(
    "portway-streams",
    str(paths.STREAMS_CONFIG),
    str(paths.UNIT_FOLDER / "portway-streams.service"),
    "systemctl show -p MainPID --value portway-streams",
    replaced_by_reload=True,
    reload="restart",  # HAProxy knows all that it must know again
)


def streams_files(cluster: Cluster) -> tuple[ManagedFile, ...]:
    """The keeper's files. Its config contains a hash of all others."""
    unit = render(
        "portway-streams.service.j2",
        config=paths.STREAMS_CONFIG,
        loaded_folder=paths.LOADED_FOLDER,
        metrics_folder=paths.METRICS_FOLDER.relative_to("/var/lib"),
        python_folder=node_program(*MODULES).folder,
        run_folder=paths.STREAMS_RUN_FOLDER.relative_to("/run"),
    )
    program = (
        *node_program(*MODULES).files,
        ManagedFile(STREAM_KEEPER.override, unit, "644"),
    )
    digest = hashlib.sha256("".join(f.sha256 for f in program).encode()).hexdigest()
    config = streams_config(cluster, digest).to_json()
    return (*program, ManagedFile(STREAM_KEEPER.config, config, "644"))


def streams_paths() -> tuple[str, ...]:
    """The paths of those files, in the same order."""
    return (
        *node_program(*MODULES).paths,
        STREAM_KEEPER.override,
        STREAM_KEEPER.config,
    )


def streams_config(cluster: Cluster, program: str) -> StreamsConfig:
    """The keeper's configuration, the same on both load balancers."""
    usual = cluster.settings.retire_after or 0
    limits = {
        frontend.name: frontend.retire_after
        if frontend.retire_after is not None
        else (usual if frontend.mode == "tcp" else 0)
        for frontend in cluster.frontends
    }
    return StreamsConfig(
        stack=cluster.stack.name,
        ordered={
            backend.name: OrderedBackend(
                clients={
                    f.name: backend.port or f.port
                    for f in cluster.frontends
                    if f.backend == backend.name
                },
                servers=tuple(server.name for server in backend.servers),
            )
            for backend in cluster.backends
            if backend.ordered
        },
        retire_after=usual,
        retire_exceptions={n: limit for n, limit in limits.items() if limit != usual},
        program=program,
    )
