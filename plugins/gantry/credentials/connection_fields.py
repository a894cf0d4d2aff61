"""Fields of an Airflow connection, normalized from forms, JSON and secrets backends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gantry import errors

if TYPE_CHECKING:
    from airflow.sdk import Connection

_KINDS = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
_HIGHEST_PORT = 65535


class ConnectionFactError(errors.GantryError):
    """An Airflow connection lacks a field, or has an unusable value."""

    def __init__(self, connection: str, problem: str) -> None:
        self.connection = connection
        super().__init__(f"Airflow connection {connection!r}: {problem}")


def checked(connection: Connection) -> Connection:
    """Return a connection with valid types: its own fields are text, and its port is a number.

    JSON may contain numbers instead of text; integers are converted.

    Raises:
        ConnectionFactError: a field is neither text nor an integer. Names the field without its content.
    """
    for field in ("host", "login", "password", "schema"):
        value = getattr(connection, field)
        if value is not None:
            setattr(connection, field, _text(connection, f"the field {field}", value, numbers=True))
    port = connection.port
    if port is not None and not (
        isinstance(port, int) and not isinstance(port, bool) and 0 <= port <= _HIGHEST_PORT
    ):
        raise ConnectionFactError(connection.conn_id, f"the field port is a number from 1 to {_HIGHEST_PORT}")
    return connection


def extras(connection: Connection) -> dict[str, Any]:
    """Return the extra fields. Airflow masks values in them that look like secrets.

    Raises:
        ConnectionFactError: they are not a JSON object.
    """
    given = connection.extra
    if given is None or given == "":
        return {}
    if not isinstance(given, str):
        raise ConnectionFactError(
            connection.conn_id, f"the extra fields have to be JSON, and are {_kind(given)}"
        )
    try:
        found = json.loads(given)
    except (ValueError, RecursionError) as error:
        # Airflow itself would log it, and continue without extra fields.
        where = (
            f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        )
        raise ConnectionFactError(
            connection.conn_id, f'the extra fields are no JSON{where}: {{"NAME": "TEXT"}}'
        ) from None
    if not isinstance(found, dict):
        written = "; it was written as JSON twice" if isinstance(found, str) and "{" in found else ""
        raise ConnectionFactError(
            connection.conn_id, f"the extra fields have to be a JSON object, and are {_kind(found)}{written}"
        )
    return connection.extra_dejson


def text(connection: Connection, given: dict[str, Any], field: str, *, numbers: bool = False) -> str:
    """Return a text from the extra fields; empty if the field is missing.

    Args:
        connection: the connection.
        given: its extra fields.
        field: the field's name.
        numbers: whether to convert an integer to text.

    Raises:
        ConnectionFactError: the field contains something else.
    """
    value = given.get(field)
    if value is None:
        return ""
    return _text(connection, f"the extra field {field}", value, numbers=numbers)


def _text(connection: Connection, field: str, value: object, *, numbers: bool) -> str:
    if isinstance(value, str):
        return value
    if numbers and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ConnectionFactError(
        connection.conn_id, f"{field} has to be text, and is {_kind(value)}: put it into quotes"
    )


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "text" if isinstance(value, str) else "something else")
