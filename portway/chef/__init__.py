"""What Chef knew, as clients and settings: exports read, precedence, attributes.

Pure. It decides nothing of a run's: the result is files, which a run checks again.
"""
