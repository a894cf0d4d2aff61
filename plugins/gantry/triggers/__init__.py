"""Triggers: waits in Airflow's triggerer, without occupying a worker."""
