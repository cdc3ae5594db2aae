"""The database: its schema, the application's user and rights, the vendor's SQL files.

Run it after the stack was created, when the application's secret was rotated, and
again whenever something may have drifted. --dry lists everything it would do. A new
password gets a login that no node uses yet: app.py moves them, or site.py does it all.
"""

from pyinfra import host

from portway.database.deploy import (
    apply_difference,
    find_database_differences,
    is_database_gateway,
    verify_database,
    wanted_database,
)
from portway.run.exclusive import one_run_at_a_time
from portway.run.inventory import current_cluster

cluster = current_cluster()
one_run_at_a_time(cluster)

if is_database_gateway(cluster):  # RDS admits application nodes only; one will do
    wanted = wanted_database(cluster)
    differences = find_database_differences(cluster, wanted)

    for difference in host.loop(differences):  # type: ignore[no-untyped-call]
        apply_difference(
            cluster=cluster,
            wanted=wanted,
            difference=difference,
            name=difference.description,
        )
    verify_database(
        cluster=cluster,
        wanted=wanted,
        changed=bool(differences),
        name="Verify the database",
    )
