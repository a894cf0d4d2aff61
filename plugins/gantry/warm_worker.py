"""Preloading for Celery workers: listed in Celery's setting `imports`, it runs before a worker forks.

A Celery worker starts no Airflow job, so the listener of `gantry.warm_up` is not called there. In Airflow's settings:
`[celery] extra_celery_config = {"imports": ["gantry.warm_worker"]}`. The scheduler, which only sends to Celery, does
not import it.
"""

from __future__ import annotations

from gantry import warm_up

warm_up.load()
