"""Settings of the lab."""

from os import environ as _environ

clients_file = "group_data/clients/lab.json"

app_version = "1.0.0"
app_test_command = "bin/send-test --port {port}"
artifactory_url = _environ.get("PORTWAY_ARTIFACTORY")
artifactory_repository = "vendor-releases"
artifactory_token_secret = "portway/artifactory"  # noqa: S105 - the secret's name
database_sql_dir = "lab/vendor/sql/postgres"
drain_timeout = 5
