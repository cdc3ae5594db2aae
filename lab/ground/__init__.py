"""What the lab uses of this machine: programs, processes, namespaces, mounts.

It must not know what is built on it: no AWS, no VPC, no kind of host.
"""
