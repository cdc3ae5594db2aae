"""Settings of every environment; docs/reference.md explains each.

A file named after the inventory (``prod.py``) adds to these and overrides them.
"""

from os import environ as _environ

ssh_user = "admin"
ssh_strict_host_key_checking = "yes"
database_ca_file = _environ.get("PORTWAY_DATABASE_CA", "global-bundle.pem")
