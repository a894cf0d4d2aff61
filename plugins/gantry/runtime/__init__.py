"""Airflow-facing runtime of tasks: what they read from Airflow, and the state that they store there."""
