"""Settings of the lab."""

clients_file = "group_data/clients/lab.json"

database_sql_dir = "lab/vendor/sql/postgres"

app_version = "1.0.0"
app_test_command = "bin/send-test --port {port}"
artifactory_url = "http://192.0.2.20/artifactory"
artifactory_plain_http = True
artifactory_repository = "releases"
artifactory_token_secret = "portway/artifactory"  # noqa: S105 - its name
drain_timeout = 5
go_back = True  # a developer's checkout goes back and forth
fail_back = 3  # so that nobody waits a minute after each fault
