"""Settings of the lab."""

clients_file = "group_data/clients/lab.json"
