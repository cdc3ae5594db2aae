# Two commands: `make demo` shows the main job in the lab, `make test` runs every test.
# Both do all their own set-up on a Debian machine with root and Python 3.11 or later.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# What the lab is made with, HAProxy to judge rendered configurations, database servers
# that tests start for themselves, Prometheus to judge alerts, Chromium to judge pages.
DEBIAN_PACKAGES := python3-venv chromium debian-archive-keyring haproxy iproute2 iptables \
    keepalived mariadb-server mmdebstrap nftables openssh-client postgresql prometheus socat systemd-container

.PHONY: demo endurance failover nights test units check format setup lock clean help
.DEFAULT_GOAL := help

help:
	@echo "make demo      a stack, deployed, and real messages into its database, in the lab; leaves it up"
	@echo "make failover  everything that can go wrong, and what clients notice of it, in the lab"
	@echo "make endurance a hundred node changes and forty of clients, under streams, in the lab"
	@echo "make nights    what takes minutes, such as application nodes that deploy to themselves, in the lab"
	@echo "make test      lint, types and every test: unit, integration, lab"
	@echo "make units     unit and integration tests only"
	@echo "make check     lint and types only"
	@echo "make format    put the code in its standard form"
	@echo "make lock      resolve the dependencies again into requirements*.txt"
	@echo "make clean     take the lab down and remove the virtual environment"

demo: setup
	$(BIN)/python -m lab demo

failover: setup
	$(BIN)/python -m lab failover --every-kind --times 3 --document

endurance: setup
	$(BIN)/python -m lab endurance --new-lab --document

nights: setup
	$(BIN)/python -m pytest -m long tests/lab

test: setup
	$(MAKE) --no-print-directory --jobs 2 check units
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder -m 'not alone and not long' tests/lab
	$(BIN)/python -m pytest -m alone tests/lab

units: setup
	$(BIN)/python -m pytest --numprocesses 6 --dist worksteal -m 'not alone' tests/unit tests/integration
	$(BIN)/python -m pytest -m alone tests/integration

check: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/cfn-lint cloudformation/*.yaml

format: setup
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# pyinfra keeps no compiled modules: each run would compile Portway again.
setup: $(VENV)/.complete
	@$(BIN)/python -m compileall -q portway acceptance lab
	@missing=$$(for p in $(DEBIAN_PACKAGES); do \
	    dpkg-query -W -f='$${db:Status-Status}\n' $$p 2>/dev/null | grep -qx installed || echo $$p; \
	done); \
	if [ -n "$$missing" ]; then \
	    echo "Installing Debian packages:" $$missing; \
	    apt-get -q update && DEBIAN_FRONTEND=noninteractive \
	        apt-get -q -y --no-install-recommends install $$missing; \
	fi

$(VENV)/.complete: requirements-dev.txt
	@$(PYTHON) -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "Installing Debian packages: python3-venv"; \
	    apt-get -q update && apt-get -q -y --no-install-recommends install python3-venv; }
	@echo "Installing the locked dependencies into $(VENV)"
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip --disable-pip-version-check install --progress-bar off --require-hashes -r requirements-dev.txt
	touch $@

lock: setup
	$(BIN)/python -m pip --quiet install uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-header --no-emit-index-url --output-file requirements.txt pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-header --no-emit-index-url --extra dev --constraint requirements.txt \
	    --output-file requirements-dev.txt pyproject.toml

clean:
	[ ! -x $(BIN)/python ] || $(BIN)/python -m lab down
	rm -rf $(VENV)
