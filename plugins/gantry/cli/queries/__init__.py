"""Queries of commands: Airflow's API and the cloud."""
