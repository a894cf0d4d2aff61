"""What goes on in Airflow's triggerer, without a worker."""
