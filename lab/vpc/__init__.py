"""The network of a VPC, as values, as rules, and in the router's kernel.

It is given what AWS says and must not ask AWS for it, nor know of moto.
"""
