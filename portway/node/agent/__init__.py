"""Starts what a release brings, on a machine that has Debian's ``python3`` and no more.

It imports the standard library, ``portway.contract`` and what is beside it.
"""
