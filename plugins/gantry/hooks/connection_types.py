"""Gantry's own connection types, as Airflow's connection form requires them."""

from __future__ import annotations

import datetime

from airflow.sdk import BaseHook

from gantry import errors
from gantry.configuration_management import chef_server
from gantry.credentials import connections


class ChefHook(BaseHook):
    """A Chef server. The form's fields are declared in the provider's metadata.

    Args:
        chef_conn_id: the Airflow connection.
    """

    conn_name_attr = "chef_conn_id"
    default_conn_name = "chef_default"
    conn_type = "chef"
    hook_name = "Chef"

    def __init__(self, chef_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.chef_conn_id = chef_conn_id

    def test_connection(self) -> tuple[bool, str]:
        """Sign a request with each of the connection's keys; return whether the Chef server accepts it, and why."""
        try:
            found = connections.chef_from(self.get_connection(self.chef_conn_id))
            actors = [actor for actor in (found.validator, found.admin) if actor is not None]
            for actor in actors:
                chef_server.ChefServer(found.url, actor, found.certificate).check()
        except errors.GantryError as error:
            return False, str(error)
        if not actors:
            return False, "The connection holds no key: neither a validation client nor an administrator."
        return True, f"{found.url} accepts the keys of {' and '.join(actor.name for actor in actors)}."


class TlsHook(BaseHook):
    """A certificate with its private key. The form's fields are declared in the provider's metadata.

    Args:
        tls_conn_id: the Airflow connection.
    """

    conn_name_attr = "tls_conn_id"
    default_conn_name = "tls_default"
    conn_type = "tls"
    hook_name = "TLS certificate"

    def __init__(self, tls_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.tls_conn_id = tls_conn_id

    def test_connection(self) -> tuple[bool, str]:
        """Check that key and certificate match, the chain is complete, and both are valid today; return a message."""
        try:
            found = connections.certificate_from(self.get_connection(self.tls_conn_id))
        except errors.GantryError as error:
            return False, str(error)
        left = found.ends - datetime.datetime.now(tz=datetime.UTC)
        chain = "with its chain" if found.chain else "without a chain"
        return True, (
            f"The key fits the certificate for {', '.join(found.names) or 'no host name'} ({chain}), signed by "
            f"{found.issuer}. It is valid until {found.ends:%Y-%m-%d}, {left.days} days from now."
        )
