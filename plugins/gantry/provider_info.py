"""Metadata for Airflow's provider manager."""

from __future__ import annotations

from typing import Any

import gantry


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description, in the format of Airflow's `provider_info.schema.json`."""
    return {
        "package-name": "airflow-provider-gantry",
        "name": "Gantry",
        "description": "Deployment definitions in YAML become DAGs that launch whole application stacks.",
        "versions": [gantry.__version__],
        "connection-types": [_CHEF, _TLS],
    }


_CHEF = {
    "connection-type": "chef",
    "hook-class-name": "gantry.hooks.connection_types.ChefHook",
    "hook-name": "Chef",
    "ui-field-behaviour": {
        "hidden-fields": ["schema", "port"],
        "relabeling": {
            "host": "Server URL",
            "login": "Validation client",
            "password": "Validation key",
        },
        "placeholders": {
            "host": "https://chef.example.com/organizations/acme",
            "login": "acme-validator",
            "password": "-----BEGIN RSA PRIVATE KEY----- …",
        },
    },
    "conn-fields": {
        "environment": {
            "label": "Environment",
            "description": "For launch configurations that name none; _default where this is empty too.",
            "schema": {"type": ["string", "null"]},
        },
        "trusted_certificate": {
            "label": "Trusted certificate",
            "description": "PEM. For a Chef server with a certificate of its own; servers trust it.",
            "schema": {"type": ["string", "null"], "format": "multiline"},
        },
        "admin_name": {
            "label": "Admin name",
            "description": "Who removes nodes and clients when servers are terminated or replaced. Optional.",
            "schema": {"type": ["string", "null"]},
        },
        "admin_key": {
            "label": "Admin key",
            "description": "The administrator's private key, PEM.",
            "schema": {"type": ["string", "null"], "format": "password"},
        },
        "origin": {
            "label": "Mark of origin",
            "description": "A name for this Airflow, where others use the same organization: nodes carry it, and "
            "only nodes that carry it are removed.",
            "schema": {"type": ["string", "null"]},
        },
        "license_key": {
            "label": "License key",
            "description": "Of Chef Infra Client 19, where its distribution asks for one. Optional.",
            "schema": {"type": ["string", "null"], "format": "password"},
        },
        "license_server": {
            "label": "License server",
            "description": "URL of a local license service of Chef's, in place of a key; several with commas between "
            "them.",
            "schema": {"type": ["string", "null"]},
        },
    },
}

_TLS = {
    "connection-type": "tls",
    "hook-class-name": "gantry.hooks.connection_types.TlsHook",
    "hook-name": "TLS certificate",
    "ui-field-behaviour": {
        "hidden-fields": ["host", "login", "schema", "port"],
        "relabeling": {"password": "Private key"},
        "placeholders": {"password": "-----BEGIN PRIVATE KEY----- …"},
    },
    "conn-fields": {
        "certificate": {
            "label": "Certificate",
            "description": "PEM. Certificates after the first one count as chain.",
            "schema": {"type": ["string", "null"], "format": "multiline"},
        },
        "chain": {
            "label": "Chain",
            "description": "PEM: the certificates between this one and a trusted one, each after the one it signed.",
            "schema": {"type": ["string", "null"], "format": "multiline"},
        },
    },
}
