"""What belongs to other roles than the master user, who is no superuser."""

from dataclasses import replace

import pytest

from portway.errors import PortwayError
from tests.integration.database.places import MASTER, Place, RunningServer, sql_file
from tests.integration.database.runs import TABLES, deploy, look, refused

OPTIONS = 160000
"""The version since which memberships have options, and only some can be given."""


def version(server: RunningServer) -> int:
    return int(server.ask("SHOW server_version_num")[0][0])


def memberships(server: RunningServer, of: str) -> list[str]:
    """How the master is a member of a role, and by whom."""
    rows = server.ask(
        "SELECT (to_jsonb(m) - 'oid')::text FROM pg_auth_members AS m "
        f"WHERE member = '{MASTER}'::regrole AND roleid = '{of}'::regrole ORDER BY 1"
    )
    return [row[0] for row in rows]


def role(place: Place, *, by: str = MASTER) -> str:
    """A role that somebody has made."""
    name = f"legacy_of_{place.wanted.user}"
    place.server.ask(f"SET ROLE {by}; CREATE ROLE {name}")
    return name


def make_schema(place: Place, owner: str) -> None:
    """A schema with a table and a sequence, as somebody made it years ago."""
    place.server.ask(
        "CREATE SCHEMA messages; CREATE TABLE messages.old (id serial); "
        "CREATE VIEW messages.shown AS SELECT id FROM messages.old; "
        f"ALTER SCHEMA messages OWNER TO {owner}; "
        f"ALTER TABLE messages.old OWNER TO {owner}; "
        f"ALTER VIEW messages.shown OWNER TO {owner}",
        place.wanted.database,
    )


def roles_like(place: Place) -> int:
    question = f"SELECT count(*) FROM pg_roles WHERE rolname = '{place.wanted.user}'"
    return int(place.server.ask(question)[0][0])


def owner_of(place: Place, table: str) -> str:
    question = f"SELECT relowner::regrole::text FROM pg_class WHERE relname = '{table}'"
    return str(place.server.ask(question, place.wanted.database)[0][0])


def test_master_joins_the_owner_for_the_step_and_leaves_again(
    postgres: RunningServer,
) -> None:
    place = postgres.new_place(files=(TABLES,))
    owner = role(place)
    make_schema(place, owner)
    postgres.ask(f"ALTER DATABASE {place.wanted.database} OWNER TO {owner}")
    before = memberships(postgres, owner)
    done = deploy(place)
    assert f"Make {MASTER} the owner of the schema messages instead of {owner}" in done
    assert look(place) == ()
    assert memberships(postgres, owner) == before
    assert owner_of(place, "old") == owner
    place.as_application("INSERT INTO old (id) VALUES (DEFAULT); SELECT * FROM shown")
    refused(place, "DROP SCHEMA messages")


def test_rights_on_what_another_role_made_later_are_given_and_taken(
    postgres: RunningServer,
) -> None:
    place = postgres.new_place()
    owner, user = role(place), place.wanted.user
    deploy(place)
    postgres.ask(
        f"CREATE TABLE messages.later (id int); "
        f"ALTER TABLE messages.later OWNER TO {owner}; "
        f"GRANT TRUNCATE ON messages.later TO {user}",
        place.wanted.database,
    )
    before = memberships(postgres, owner)
    assert deploy(place) == [
        f"Grant SELECT, INSERT, UPDATE, DELETE on table messages.later to {user}",
        f"Revoke TRUNCATE on table messages.later from {user}",
    ]
    assert look(place) == ()
    assert memberships(postgres, owner) == before


def test_membership_that_the_master_gave_itself_is_as_it_was(
    postgres_18: RunningServer,
) -> None:
    """As createrole_self_grant makes it, which has one option and not the other."""
    place = postgres_18.new_place()
    owner = role(place)
    make_schema(place, owner)
    postgres_18.ask(
        f"SET ROLE {MASTER}; GRANT {owner} TO {MASTER} WITH INHERIT FALSE, SET TRUE"
    )
    before = memberships(postgres_18, owner)
    deploy(place)
    assert look(place) == ()
    assert memberships(postgres_18, owner) == before


def test_what_a_superuser_owns_is_told_before_anything_is_touched(
    postgres: RunningServer,
) -> None:
    place = postgres.new_place()
    make_schema(place, "super")
    with pytest.raises(PortwayError) as refusal:
        deploy(place)
    told = refusal.value.message
    assert f"{MASTER} may not change what super owns: schema messages" in told
    assert "nothing was touched" in told
    assert roles_like(place) == 0
    statements = [line for line in told.splitlines() if line.startswith("    ")]
    assert len(statements) == 3, "the schema, the table and the view"
    postgres.ask(" ".join(statements), place.wanted.database)
    deploy(place)
    assert look(place) == ()


def test_role_that_the_master_cannot_join_is_told_before_anything_is_touched(
    postgres_18: RunningServer,
) -> None:
    place = postgres_18.new_place()
    owner = role(place, by="super")
    make_schema(place, owner)
    with pytest.raises(PortwayError) as refusal:
        deploy(place)
    told = refusal.value.message
    assert f"may not change what {owner} owns: schema messages, table messages." in told
    assert roles_like(place) == 0
    postgres_18.ask(told.splitlines()[-1])
    deploy(place)
    assert look(place) == ()


def test_user_that_somebody_else_made_is_told_before_anything_is_touched(
    postgres_18: RunningServer,
) -> None:
    place = postgres_18.new_place()
    postgres_18.ask(f"CREATE ROLE {place.wanted.user}")
    with pytest.raises(PortwayError) as refusal:
        deploy(place)
    told = refusal.value.message
    assert f"{MASTER} may not change the user {place.wanted.user}" in told
    schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'messages'"
    assert postgres_18.ask(schemas, place.wanted.database)[0][0] == 0
    postgres_18.ask(told.splitlines()[-1])
    deploy(place)
    assert look(place) == ()
    place.as_application("SELECT 1")


def test_database_that_the_application_owns_is_taken_from_it(
    postgres: RunningServer,
) -> None:
    place = postgres.new_place(files=(TABLES,))
    user, database = place.wanted.user, place.wanted.database
    postgres.ask(f"SET ROLE {MASTER}; CREATE ROLE {user} LOGIN")
    postgres.ask(f"ALTER DATABASE {database} OWNER TO {user}")
    postgres.ask(f"CREATE SCHEMA messages AUTHORIZATION {user}", database)
    before = memberships(postgres, place.wanted.user)
    assert f"Take the database {database} from the user {user}, who owns it" in deploy(
        place
    )
    assert look(place) == ()
    assert memberships(postgres, place.wanted.user) == before
    refused(place, "CREATE SCHEMA mine")


ALTERED = sql_file("002.sql", "ALTER TABLE mine ADD COLUMN more int DEFAULT 1;")


def test_file_alters_what_the_application_made(postgres: RunningServer) -> None:
    place = postgres.new_place(creates_tables=True)
    deploy(place)
    place.as_application("CREATE TABLE mine (id int); CREATE TYPE mood AS ENUM ('a')")
    index = sql_file("003.sql", "CREATE INDEX CONCURRENTLY ON mine (id)")
    place.wanted = replace(place.wanted, files=(ALTERED, index))
    before = memberships(postgres, place.wanted.user)
    deploy(place)
    assert look(place) == ()
    assert memberships(postgres, place.wanted.user) == before
    assert owner_of(place, "mine") == place.wanted.user
    place.as_application("INSERT INTO mine (more) VALUES (2); DROP TABLE mine")


@pytest.mark.parametrize("text", ["ALTER TABLE mine ADD x no_type", "SELECT 1; END"])
def test_file_that_fails_leaves_the_master_no_member(
    postgres: RunningServer, text: str
) -> None:
    place = postgres.new_place(creates_tables=True)
    deploy(place)
    place.as_application("CREATE TABLE mine (id int)")
    place.wanted = replace(place.wanted, files=(sql_file("002.sql", text),))
    before = memberships(postgres, place.wanted.user)
    with pytest.raises(PortwayError):
        deploy(place)
    assert memberships(postgres, place.wanted.user) == before


def test_file_that_alters_what_the_master_may_not_says_whose_it_is(
    postgres: RunningServer,
) -> None:
    place = postgres.new_place()
    deploy(place)
    postgres.ask(
        "CREATE TABLE messages.mine (id int); "
        f"GRANT ALL ON messages.mine TO {place.wanted.user}; "
        f"REVOKE TRUNCATE, REFERENCES, TRIGGER ON messages.mine "
        f"FROM {place.wanted.user}"
        + (
            f"; REVOKE MAINTAIN ON messages.mine FROM {place.wanted.user}"
            if version(postgres) >= 170000
            else ""
        ),
        place.wanted.database,
    )
    place.wanted = replace(place.wanted, files=(ALTERED,))
    with pytest.raises(PortwayError) as refusal:
        deploy(place)
    assert "super owns table messages.mine" in refusal.value.message
    assert f'GRANT "super" TO "{MASTER}"' in refusal.value.message
