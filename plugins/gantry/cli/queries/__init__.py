"""What commands ask Airflow's API and the cloud."""
