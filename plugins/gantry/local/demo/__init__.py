"""The demo: the bookshop and projects of one's own, on the embedded cloud, with a real Airflow."""
