"""What a task gets from Airflow, and what it keeps there."""
