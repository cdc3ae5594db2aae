"""A whole lab: brought up, taken down, and shown.

It puts the packages below together, and must not deploy anything to the hosts.
"""
