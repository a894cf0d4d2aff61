"""Airflow's own REST API, from outside: who we are there, and what a person does in the UI. No Airflow is needed."""
