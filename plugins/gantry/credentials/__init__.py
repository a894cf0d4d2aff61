"""Airflow connections → the logins and accounts that the rooms above work with. The only place where secrets enter."""
