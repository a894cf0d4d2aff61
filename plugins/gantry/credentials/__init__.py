"""Credentials from Airflow connections: logins and accounts. The only place where secrets enter."""
