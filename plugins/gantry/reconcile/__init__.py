"""Desired against actual: what has to be done, on which servers. Decides; the rooms above carry it out. No Airflow."""
