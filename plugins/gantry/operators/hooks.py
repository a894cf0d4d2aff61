"""Connection types of Gantry's own, as Airflow's connection form wants them."""

from __future__ import annotations

from airflow.sdk import BaseHook

from gantry import errors
from gantry.configuration_management import chef_server
from gantry.operators import connections


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
        """Sign a request with each key that the connection holds; whether the Chef server accepts them, in words."""
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
