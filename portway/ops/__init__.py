"""The pyinfra layer: what a node has, how that differs, and how to change it.

It asks neither AWS nor a database, and knows nothing of clients.
"""
