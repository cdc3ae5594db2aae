"""Settings of production."""

clients_file = "group_data/clients/prod.json"

# The application: which version, and where it comes from (deploys/app.py).
# app_version = "1.0.0"
# artifactory_url = "https://artifacts.example.com/artifactory"
# artifactory_repository = "vendor-releases"
# artifactory_token_secret = "portway/artifactory"
