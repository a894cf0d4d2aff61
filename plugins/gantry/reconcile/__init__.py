"""Desired vs. actual state: decides what has to be done on which servers; the callers carry it out. No Airflow."""
