"""Settings of production."""

clients_file = "group_data/clients/prod.json"
