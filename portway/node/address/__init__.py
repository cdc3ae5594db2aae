"""The address mover: makes the address in AWS follow VRRP.

A program of the load balancers. It runs on what Debian packages (Python 3.11 or later,
boto3) and imports nothing of Portway but ``portway.contract`` and its own modules.
"""
