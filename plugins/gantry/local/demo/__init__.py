"""The demo: the bookshop or other projects, on the embedded cloud, with a real Airflow."""
