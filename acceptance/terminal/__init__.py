"""How a run speaks to whoever started it, and how it is interrupted.

Nothing secret may be printed.
"""
