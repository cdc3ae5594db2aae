"""Settings of every environment; README.md explains each.

A file named after the inventory (``prod.py``) adds to these and overrides them.
"""

ssh_user = "admin"
ssh_strict_host_key_checking = "yes"
