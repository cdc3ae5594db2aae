"""Which versions of Portway people have, besides this one."""

LAST_RELEASE = "f3e6ab589a8999257aab8f2fa7c7d656ace4f5b0"
"""The commit of version 0.1.0."""
