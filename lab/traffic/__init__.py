"""Customers: messages, senders that never stop, and a count of what was acknowledged.

It must not look at the load balancers: it sees what a customer sees, and the database.
"""
