"""Odd deployments, as text."""

from __future__ import annotations

HEAD = """\
deployment: shop
cloud: {region: eu-central-1}
launch_configurations: {debian: {image: ami-1, ssh: {connection: shop_ssh}}}
"""
WEB = "tiers: {web: {launch_configuration: debian, servers: 1}}\n"


REPLICATED = ", replication: {connection: r}"


def service(number: int, tier: str, needs: str = "", data: str = "", more: str = "") -> str:
    datasources = f"{{{data}: {{dump: s3://shop/x.sql, connection: x}}}}" if data else "{}"
    return (
        f"{{id: a{number}, tier: {tier}, archive: s3://shop/{number}.tar.gz, port: {8000 + number},"
        f" depends_on: [{needs}], datasources: {datasources}{more}}}"
    )


ODD = {
    "several services in one tier": HEAD
    + WEB
    + f"services: {{db: {service(1, 'web', data='main')}, app: {service(2, 'web', 'db.main')},"
    + f" cron: {service(3, 'web')}}}\n",
    "a diamond": HEAD
    + WEB
    + f"services: {{db: {service(1, 'web', data='main')}, left: {service(2, 'web', 'db.main')},"
    + f" right: {service(3, 'web', 'db')}, top: {service(4, 'web', 'left, right')}}}\n",
    "two databases": HEAD
    + "tiers: {data: {launch_configuration: debian, servers: 1}, web: {launch_configuration: debian, servers: 2}}\n"
    + f"services: {{one: {service(1, 'data', data='main')}, two: {service(2, 'data', data='other')},"
    + f" app: {service(3, 'web', 'one.main, two.other')}}}\n",
    "several balancers": HEAD
    + "tiers: {web: {launch_configuration: debian, servers: 2}, edge: {launch_configuration: debian, servers: 2}}\n"
    + f"services: {{app: {service(1, 'web')}, admin: {service(2, 'web')}}}\n"
    + "load_balancers: {front: {tier: edge, service: app, port: 80, name: a.example.com},"
    + " back: {tier: edge, service: admin, port: 81, name: b.example.com}}\n",
    "configure first": HEAD
    + WEB
    + f"services: {{db: {service(1, 'web', data='main', more=', order: configure-first')}}}\n",
    "a tier without services": HEAD + WEB,
    "a replicated database": HEAD
    + "tiers: {data: {launch_configuration: debian, servers: 3}, web: {launch_configuration: debian, servers: 2}}\n"
    + f"services: {{db: {service(1, 'data', data='main', more=REPLICATED)},"
    + f" app: {service(2, 'web', 'db.main')}, beside: {service(3, 'data', 'db.main')}}}\n",
    "a replicated database, configure first": HEAD
    + "tiers: {data: {launch_configuration: debian, servers: 3}}\n"
    + f"services: {{db: {service(1, 'data', data='main', more=f'{REPLICATED}, order: configure-first')}}}\n",
}
