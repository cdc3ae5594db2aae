"""The address mover: makes what AWS says of the address follow what VRRP says.

A program of the load balancers. It runs on what Debian packages (Python 3.11 or later,
boto3) and imports nothing of Portway's but what is in this package.
"""
