"""The tags of an instance of the embedded cloud."""

from __future__ import annotations

import types
from typing import Any

import pytest
from moto.ec2.models import ec2_backends

from gantry.local.cloud import ec2

_ID = "i-0123456789abcdef0"


def test_an_instances_tags_are_those_that_moto_finds_among_all_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = ec2_backends["123456789012"]["eu-central-1"]
    monkeypatch.setattr(backend, "tags", type(backend.tags)(dict))
    other = "i-0123456789abcdef1"
    backend.create_tags([_ID, other, "vol-0123456789abcdef0"], {"gantry:tier": "web", "Name": "shop-web"})
    backend.create_tags([other], {"gantry:tier": "database"})
    found = backend.describe_tags(filters={"resource-id": [_ID]})
    assert {each["key"]: each["value"] for each in found} == {"gantry:tier": "web", "Name": "shop-web"}

    instance: Any = types.SimpleNamespace(id=_ID, ec2_backend=types.SimpleNamespace(tags=backend.tags))
    assert ec2.Instance.get_tags(instance) == found
    without: Any = types.SimpleNamespace(id="i-0123456789abcdef2", ec2_backend=instance.ec2_backend)
    assert ec2.Instance.get_tags(without) == []
