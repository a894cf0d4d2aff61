# What there is to do in this project. `make` alone lists it.

PYTHON := .venv/bin/python
# A command on a prepared machine: Docker Engine and server image; both are left as they were found.
ON_MACHINE := docker/with-machine.sh
# The same for an Airflow of several machines, with a Python environment of its own: .venv stays as it is.
CLUSTER_PYTHON := .work/cluster/bin/python
ON_CLUSTER := docker/with-machine.sh --cluster
SETUP_CLUSTER := docker/setup-python.sh --environment .work/cluster --no-default-groups --group dev --extra cluster
# Most of a launch is waiting, so there are more workers than cores. What tests import is compiled once, also where
# PYTHONDONTWRITEBYTECODE is set: each worker and each command would do it again.
SIDE_BY_SIDE := --dist loadgroup --no-loadscope-reorder
PYTEST := env -u PYTHONDONTWRITEBYTECODE .venv/bin/pytest $(SIDE_BY_SIDE)
WORKERS := 4
# With the lowest versions that pyproject.toml allows, in an environment of their own too.
LOWEST := .work/lowest/bin
ON_LOWEST := docker/with-machine.sh --lowest env -u PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo check test test-cluster test-lowest coverage benchmark lint docs screenshots clean
# Each target cleans up behind itself; two at a time would be in each other's way.
.NOTPARALLEL:

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20
	@echo "  make demo ONCE=1  the same, but checks the result, launches again, terminates and ends"
	@echo "  make demo REGION=us-east-1  the same in another region"
	@echo "  make demo CLUSTER=1  the same by an Airflow of ten machines; says where each step ran"

setup: ## packages, Docker Engine, server image, Python environment (Debian 12, root)
	@docker/setup-python.sh
	@docker/setup-machine.sh

demo: ## launch the bookshop here, with a real Airflow, until Ctrl-C
ifdef CLUSTER
	@$(SETUP_CLUSTER)
	@$(ON_CLUSTER) $(CLUSTER_PYTHON) -m gantry.local.cluster $(if $(ONCE),--once)
else
	@docker/setup-python.sh
	@$(ON_MACHINE) .venv/bin/gantry demo run $(if $(ONCE),--once) $(if $(REGION),--region $(REGION))
endif

check: lint ## linters, types and unit tests, without Docker: before each commit
	@$(PYTEST) -n 2 tests/unit

test: lint ## everything that CI checks
	@docker/setup-chromium.sh
	@$(ON_MACHINE) $(PYTEST) -n $(WORKERS) tests

test-cluster: ## launches and faults on an Airflow of ten machines, and pages on MySQL; not part of test
	@$(SETUP_CLUSTER)
	@docker/setup-mysql.sh
	@$(ON_CLUSTER) env -u PYTHONDONTWRITEBYTECODE $(CLUSTER_PYTHON) -m pytest --verbose --capture=no tests/cluster

test-lowest: ## unit tests and a launch with the lowest versions that may be installed; not part of test
	@docker/setup-python.sh --lowest
	@$(ON_LOWEST) $(LOWEST)/pytest $(SIDE_BY_SIDE) -n 2 tests/unit
	@$(ON_LOWEST) $(LOWEST)/gantry demo run --once

coverage: ## all tests with coverage, for the figure; takes about twice as long
	@docker/setup-python.sh
	@docker/setup-chromium.sh
	@$(ON_MACHINE) $(PYTEST) -n $(WORKERS) --cov --cov-report=term tests

benchmark: ## all benchmarks, beside pyinfra and ansible-core (from PyPI)
	@docker/setup-python.sh
	@$(ON_MACHINE) $(PYTHON) benchmarks/run_all.py

lint: ## ruff and mypy
	@docker/setup-python.sh
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

docs: ## the documentation as a site, in build/site; with its reference made from the models
	@docker/setup-python.sh
	$(PYTHON) docs/generate_reference.py
	$(PYTHON) docs/generate_rooms.py
	.venv/bin/gantry graph bookshop --output docs/images/plan.svg
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --quiet

screenshots: ## the pictures of the documentation, taken from a running demo
	@docker/setup-python.sh
	@docker/setup-chromium.sh
	@$(ON_MACHINE) $(PYTHON) docs/screenshots.py docs/images

clean: ## what killed runs left, and what tools made; .venv stays
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m gantry.local.demo.run --clean; fi
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m gantry.local.cluster --clean; fi
	@if [ -x $(PYTHON) ]; then $(PYTHON) -c 'from gantry.local.cloud import control; control.stop_engine() and print("stopped dockerd")'; fi
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.* htmlcov dist build test-results
