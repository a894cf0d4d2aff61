"""A multi-machine Airflow on one machine: `docker/compose.yaml` without containers, for launches and fault tests.

Each service of that file becomes one or more machines: a network namespace with an address and a host name, files that
only it sees, and the settings and secrets from that file. A supervisor restarts processes that exit. It is not part of
the product.
"""
