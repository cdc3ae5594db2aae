"""The database: its schema, the application's user and rights, the vendor's SQL files.

Run it after the stack was created, when the application's secret was rotated, and
again whenever something may have drifted. What it lists under --dry is all it would do.
"""

from pyinfra import host

from portway.databases import (
    find_database_differences,
    lends_its_connection,
    put_difference_right,
    verify_database,
    wanted_database,
)
from portway.inventory import current_cluster

cluster = current_cluster()

if lends_its_connection(cluster):  # RDS admits application nodes only; one will do
    wanted = wanted_database(cluster)
    differences = find_database_differences(cluster, wanted)

    for difference in host.loop(differences):  # type: ignore[no-untyped-call]
        put_difference_right(
            difference=difference,
            wanted=wanted,
            file_seconds=cluster.settings.database_sql_timeout,
            name=difference.description,
        )
    verify_database(
        wanted=wanted,
        changed=bool(differences),
        name="Verify that the database is as it should be",
    )
