"""CSRF protection: a request that changes something has to come from one of our own pages.

The browser sends Airflow's cookie with requests that any site triggers (unless the cookie forbids that); what such a
site does not know is the token in our own page's form.
"""

from __future__ import annotations

import secrets
import urllib.parse

import fastapi
import itsdangerous
from airflow.configuration import conf

from gantry.web.http import access, mount

FIELD = "gantry_mark"
_SALT = "gantry.forms"
_LONGEST = 12 * 3600
"""Seconds that a form may stay open."""

_MOST_BYTES = 200_000
_FORM = "application/x-www-form-urlencoded"
_OURS = ("same-origin", "none")


def token(request: fastapi.Request, visitor: access.Visitor) -> str:
    """Return the token for a visitor's form."""
    return str(_signer(request).dumps([str(visitor.user.get_id()), secrets.token_hex(8)]))


async def sent(request: fastapi.Request, visitor: access.Visitor) -> dict[str, list[str]]:
    """Return the submitted values of our form, by field.

    Answers 403 to requests that another site may have triggered.
    """
    _refuse_unless(request.headers.get("sec-fetch-site", "none") in _OURS)
    origin = request.headers.get("origin")
    _refuse_unless(origin is None or urllib.parse.urlsplit(origin).netloc in _hosts(request))
    if request.headers.get("content-type", "").partition(";")[0].strip() != _FORM:
        raise fastapi.HTTPException(fastapi.status.HTTP_415_UNSUPPORTED_MEDIA_TYPE, "This takes a form.")
    body = await _body(request)
    found = urllib.parse.parse_qs(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=1000)
    try:
        owner, _ = _signer(request).loads(found.pop(FIELD, [""])[0], max_age=_LONGEST)
    except itsdangerous.BadData:
        owner = None
    _refuse_unless(owner == str(visitor.user.get_id()))
    return found


async def _body(request: fastapi.Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST_BYTES:
            raise fastapi.HTTPException(fastapi.status.HTTP_413_CONTENT_TOO_LARGE, "That is too much.")
    return body


def _hosts(request: fastapi.Request) -> set[str]:
    """Return our host names: the one that a proxy reports, or the one in Airflow's settings."""
    ours = urllib.parse.urlsplit(conf.get("api", "base_url", fallback="") or "").netloc
    found = (request.headers.get("host"), request.headers.get("x-forwarded-host"), ours)
    return {each.strip() for each in found if each}


def _refuse_unless(allowed: bool) -> None:  # noqa: FBT001 - reads as a sentence
    if not allowed:
        raise fastapi.HTTPException(
            fastapi.status.HTTP_403_FORBIDDEN,
            "The form is too old, or does not come from this page. Open it again.",
        )


def _signer(request: fastapi.Request) -> itsdangerous.URLSafeTimedSerializer:
    return itsdangerous.URLSafeTimedSerializer(request.scope[mount.AIRFLOW].state.secret_key, salt=_SALT)
