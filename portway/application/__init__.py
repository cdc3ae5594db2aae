"""The vendor's application: installing, rolling and draining it on its nodes.

It uses the load balancers and the database's login, and decides nothing about either.
"""
