"""What pages ask Airflow's database, the cloud and the servers."""
