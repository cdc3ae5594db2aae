"""What the operator's machine and the programs on nodes must agree on.

Standard library only, because nodes get a copy of it. It decides nothing and calls
nothing.
"""
