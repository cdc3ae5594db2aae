"""``portway-check``: tells keepalived whether HAProxy serves.

It is one process that stays: to start one for each look costs more than all its looks.
It imports nothing of Portway but ``portway.contract`` and what is beside it.
"""
