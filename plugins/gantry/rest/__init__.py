"""Client of Airflow's REST API: login, and the actions that a user has in the UI. Airflow itself is not required."""
