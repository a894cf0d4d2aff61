"""A deployment's state in Airflow: keys, run records, versions, and the lock that its operations share."""
