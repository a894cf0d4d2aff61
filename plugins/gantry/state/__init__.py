"""What is kept of a deployment in Airflow: keys, records, versions, and the lock that its operations share."""
