"""The vendor's application, as far as the lab needs one: messages into a database.

It stands for a program that Portway did not write, so it imports nothing of Portway
or of the lab: only the standard library and the drivers in its own archive.
"""
