"""Queries of pages: Airflow's database, the cloud, and the servers."""
