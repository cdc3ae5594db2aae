"""pyinfra's settings for every run from this directory."""

from pyinfra import config

config.SUDO = True
config.FAIL_PERCENT = (
    0  # the first failure stops the run: the other node stays untouched
)
config.CONNECT_TIMEOUT = 15
config.REQUIRE_PYINFRA_VERSION = ">=3.10,<3.11"
