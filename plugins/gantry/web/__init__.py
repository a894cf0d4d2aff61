"""Pages: deployments in Airflow's UI, and the same facts as JSON.

The API server mounts the application of `entry` under `/gantry`, and Airflow's navigation shows it in a frame. What a
page needs is read by `store` (the metadata database), `cloud` (the inventory) and `api_calls` (Airflow's own API, with
the rights of who looks), put together by the functions of `status` and `plan`, and handed to templates as the frozen
`facts`. Nothing is decided here.

Airflow's frame is a sandbox: a link cannot open a window, and cannot replace the page around it. Links to Airflow's own
pages carry `data-airflow` (a script of ours lets the page around follow them), all others stay in the frame.
"""
