"""Hosts and those who use them: images, disks, boots, the database, the operator.

It must not decide which hosts there are (the stack does), nor break any.
"""
