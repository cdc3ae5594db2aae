"""The pyinfra layer: what a node has, how that differs, and how to change it.

It knows nothing of AWS, clients or databases.
"""
