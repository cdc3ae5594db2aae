"""The command line, ``python -m lab``: a file for each verb or group of verbs.

It reads arguments and prints, and must not do what a verb does; nothing imports it.
"""
