"""Rights of every kind that somebody gave the application in PostgreSQL."""

from dataclasses import replace

import pytest

from portway.database.admin import read_database
from portway.errors import PortwayError
from tests.integration.database.places import MASTER, Place, RunningServer
from tests.integration.database.runs import TABLES, deploy, look
from tests.integration.database.test_owners import version

OBJECTS = """
CREATE SCHEMA hr;
CREATE TABLE hr.pay (name text, amount int);
CREATE FUNCTION hr.raise(text, "odd type" int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE PROCEDURE hr.close() LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE hr.total(int) (sfunc = int4pl, stype = int);
CREATE TYPE hr.grade AS ENUM ('a');
CREATE DOMAIN hr.positive AS int;
CREATE FOREIGN DATA WRAPPER far;
CREATE SERVER away FOREIGN DATA WRAPPER far;
SELECT lo_create(4242);
"""
NAMES = {
    "SCHEMA": ["hr"],
    "TABLE": ["hr.pay"],
    "FUNCTION": ["hr.raise(text, int)"],
    "PROCEDURE": ["hr.close()"],
    "AGGREGATE": ["hr.total(int)"],
    "TYPE": ["hr.grade"],
    "DOMAIN": ["hr.positive"],
    "FOREIGN DATA WRAPPER": ["far"],
    "SERVER": ["away"],
    "LARGE OBJECT": ["4242"],
}
GRANTS = """
GRANT USAGE ON SCHEMA hr TO {user};
GRANT SELECT (name), UPDATE (amount) ON hr.pay TO {user} WITH GRANT OPTION;
GRANT EXECUTE ON FUNCTION hr.raise(text, int), hr.total(int) TO {user};
GRANT EXECUTE ON PROCEDURE hr.close() TO {user};
GRANT USAGE ON TYPE hr.grade, hr.positive TO {user};
GRANT USAGE ON FOREIGN DATA WRAPPER far TO {user};
GRANT USAGE ON FOREIGN SERVER away TO {user};
GRANT SELECT, UPDATE ON LARGE OBJECT 4242 TO {user};
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT SELECT ON TABLES TO {user};
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA hr
    GRANT USAGE ON SEQUENCES TO {user};
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT EXECUTE ON ROUTINES TO {user};
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT USAGE ON TYPES TO {user};
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT USAGE ON SCHEMAS TO {user};
"""


@pytest.fixture
def place(postgres: RunningServer) -> Place:
    place = postgres.new_place(files=(TABLES,))
    deploy(place)
    return place


def rights_left(place: Place) -> int:
    """How many objects of this database, or the server, have a right of the user's.

    PostgreSQL keeps this list to know what must go when a user is dropped.
    """
    question = (
        "SELECT count(*) FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass "
        f"AND refobjid = '{place.wanted.user}'::regrole"
    )
    return int(place.server.ask(question, place.wanted.database)[0][0])


@pytest.mark.parametrize("whose", ["the master's", "another role's"])
def test_rights_of_every_kind_are_taken_away(place: Place, whose: str) -> None:
    server, user = place.server, place.wanted.user
    usual = rights_left(place)
    owner = MASTER
    if whose == "another role's":
        owner = f"hr_of_{user}"
        server.ask(f"SET ROLE {MASTER}; CREATE ROLE {owner}")
    owned = (
        f"ALTER {kind} {name} OWNER TO {owner};"
        for kind, names in NAMES.items()
        for name in names
        if kind != "FOREIGN DATA WRAPPER"  # a superuser's
    )
    grants = GRANTS.format(user=user, owner=owner)
    if owner == MASTER:
        more = f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA hr "
        grants += f"{more} GRANT ALL ON TABLES TO {user};"
    if version(server) >= 180000:
        more = f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT SELECT ON LARGE "
        grants += f"{more} OBJECTS TO {user};"
    super_s = "GRANT USAGE ON FOREIGN DATA WRAPPER far TO {user};"
    grants = grants.replace(super_s.format(user=user), "")
    server.ask(OBJECTS + "".join(owned) + grants, place.wanted.database)
    assert rights_left(place) > usual + 10
    done = deploy(place)
    assert all(text.startswith("Revoke") for text in done), done
    assert look(place) == ()
    assert rights_left(place) == usual


def test_right_that_was_passed_on_and_given_by_others_is_taken(place: Place) -> None:
    """By the owner's REVOKE it would stay."""
    server, user = place.server, place.wanted.user
    clerk, reader = f"clerk_of_{user}", f"reader_of_{user}"
    server.ask(f"SET ROLE {MASTER}; CREATE ROLE {clerk}; CREATE ROLE {reader}")
    usual = rights_left(place)
    server.ask(
        "CREATE SCHEMA hr; CREATE TABLE hr.pay (id int); "
        f"GRANT USAGE ON SCHEMA hr TO PUBLIC; ALTER TABLE hr.pay OWNER TO {MASTER}; "
        f"GRANT SELECT ON hr.pay TO {clerk} WITH GRANT OPTION; SET ROLE {clerk}; "
        f"GRANT SELECT ON hr.pay TO {user} WITH GRANT OPTION; SET ROLE {user}; "
        f"GRANT SELECT ON hr.pay TO {reader}",
        place.wanted.database,
    )
    assert deploy(place) == [
        f"Revoke SELECT, GRANT OPTION FOR SELECT on table hr.pay, given by {clerk}, "
        f"from {user}"
    ]
    assert look(place) == ()
    assert rights_left(place) == usual


def test_rights_that_only_a_superuser_can_take_are_named_before_anything(
    place: Place,
) -> None:
    rights = {
        "USAGE ON LANGUAGE": ("plpgsql", 'LANGUAGE "plpgsql"'),
        "CREATE ON TABLESPACE": ("pg_default", 'TABLESPACE "pg_default"'),
        "SELECT ON": ("pg_authid", 'TABLE "pg_catalog"."pg_authid"'),
        "SET ON PARAMETER": ("log_statement", 'PARAMETER "log_statement"'),
        "EXECUTE ON FUNCTION": (
            "pg_read_file(text)",
            'ROUTINE "pg_catalog".pg_read_file(text)',
        ),
    }
    server, user, database = place.server, place.wanted.user, place.wanted.database
    for right, (name, _) in rights.items():
        server.ask(f"GRANT {right} {name} TO {user}", database)
    before = place.password
    place.password = "rotated" + before
    with pytest.raises(PortwayError) as refusal:
        deploy(place)
    assert "what super" in refusal.value.message
    assert "nothing was touched" in refusal.value.message
    lines = [line.strip() for line in refusal.value.message.splitlines()]
    statements = {line for line in lines if line.startswith("REVOKE")}
    assert statements == {
        f'REVOKE {right.split()[0]} ON {taken} FROM "{user}";'
        for right, (_, taken) in rights.items()
    }
    replace(place, password=before).as_application("SELECT 1")
    for statement in statements:
        server.ask(statement, database)
    deploy(place)
    assert look(place) == ()


def test_role_that_somebody_else_gave_is_taken(postgres_18: RunningServer) -> None:
    """Since 16, who took it must be who gave it."""
    place = postgres_18.new_place()
    deploy(place)
    user = place.wanted.user
    clerk, group = f"clerk_of_{user}", f"group_of_{user}"
    postgres_18.ask(
        f"SET ROLE {MASTER}; CREATE ROLE {clerk}; CREATE ROLE {group}; "
        f"GRANT {group} TO {clerk} WITH ADMIN OPTION; SET ROLE {clerk}; "
        f"GRANT {group} TO {user}"
    )
    assert deploy(place) == [f"Take the role {group} from the user {user}"]
    assert look(place) == ()
    assert read_database(place.access(), place.wanted).users[user].roles == ()


def test_what_files_give_on_functions_and_types_of_the_schema_stays(
    place: Place,
) -> None:
    user = place.wanted.user
    place.server.ask(
        f"SET ROLE {MASTER}; "
        "CREATE FUNCTION messages.secret() RETURNS int LANGUAGE sql AS 'SELECT 1'; "
        "REVOKE EXECUTE ON FUNCTION messages.secret() FROM PUBLIC; "
        f"GRANT EXECUTE ON FUNCTION messages.secret() TO {user} WITH GRANT OPTION; "
        "ALTER DEFAULT PRIVILEGES IN SCHEMA messages GRANT EXECUTE ON ROUTINES "
        f"TO {user}",
        place.wanted.database,
    )
    assert deploy(place) == [
        f"Revoke GRANT OPTION FOR EXECUTE on routine messages.secret() from {user}"
    ]
    assert place.as_application("SELECT secret()") == [[1]]


def test_second_login_has_no_right_of_its_own(place: Place) -> None:
    """Here in a schema that the master may not look into."""
    place.used_by(app_1="1")
    place.password = "rotated" + place.password
    deploy(place)
    second, owner = place.wanted.second, f"hr_of_{place.wanted.user}"
    place.server.ask(f"SET ROLE {MASTER}; CREATE ROLE {owner}")
    place.server.ask(
        f"CREATE SCHEMA hr AUTHORIZATION {owner}; CREATE TABLE hr.pay (name text); "
        f"ALTER TABLE hr.pay OWNER TO {MASTER}; GRANT SELECT (name) ON hr.pay "
        f"TO {second}",
        place.wanted.database,
    )
    assert deploy(place) == [f"Revoke SELECT on column hr.pay.name from {second}"]
    assert look(place) == ()


def beyond(place: Place) -> str:
    return "\n".join(read_database(place.access(), place.wanted).beyond)


def test_what_stays_is_named(place: Place) -> None:
    server, user, database = place.server, place.wanted.user, place.wanted.database
    assert beyond(place) == ""
    server.ask(
        "CREATE SCHEMA hr; CREATE TABLE hr.pay (name text); "
        "CREATE TABLE hr.mine (name text); "
        f"ALTER TABLE hr.mine OWNER TO {user}; GRANT USAGE ON SCHEMA hr TO PUBLIC; "
        "GRANT SELECT (name) ON hr.pay TO PUBLIC; GRANT USAGE ON SCHEMA hr TO PUBLIC",
        database,
    )
    told = beyond(place)
    assert f"{user} owns table hr.mine" in told
    assert "everybody, and so the application, has SELECT on column hr.pay.name" in told
    other = server.new_place()
    server.ask(
        f"CREATE SCHEMA hr; GRANT CREATE ON SCHEMA hr TO {user}", other.wanted.database
    )
    assert f"{user} has rights in the database {other.wanted.database}" in beyond(place)
    assert look(place) == ()


def test_right_of_everybody_that_the_master_cannot_take_is_named(
    postgres: RunningServer,
) -> None:
    place = postgres.new_place()
    postgres.ask(
        "ALTER SCHEMA public OWNER TO super; GRANT CREATE ON SCHEMA public TO PUBLIC",
        place.wanted.database,
    )
    deploy(place)
    assert look(place) == ()
    assert "everybody, and so the application, has CREATE on schema public" in beyond(
        replace(place)
    )
