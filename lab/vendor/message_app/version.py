"""What the builder writes anew into each archive."""

VERSION = "0"
BROKEN = False
"""Whether this release fails its health check, as a bad release does."""
