"""An Airflow of several machines on this one: `docker/compose.yaml` without containers, for launches and for faults.

Each service of that file becomes machines of their own: a network namespace with an address and a host name, files that
only it sees, and the very settings and secrets that the file gives to it. A supervisor starts again what exits. Nothing
of it is part of the product.
"""
