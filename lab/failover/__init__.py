"""What goes wrong, what clients notice of it, and a report.

It breaks through ``lab.faults`` and deploys as an operator does: it must not import
Portway, nor start or stop anything by itself.
"""
