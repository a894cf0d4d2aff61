"""Web UI: pages of deployments within Airflow's UI, and the same data as a JSON API.

The API server mounts the application of `entry` under `/gantry`, and Airflow's navigation shows it in a frame. The
data of a page is read by `store` (the metadata database), `cloud` (the inventory) and `api_calls` (Airflow's own API,
with the visitor's rights), combined by the functions of `status` and `plan`, and passed to templates as the frozen
`facts`. No decisions are made here.

Airflow's frame is sandboxed: a link cannot open a window, and cannot replace the surrounding page. Links to Airflow's
own pages have `data-airflow` (our script makes the surrounding page follow them), all others stay in the frame.
"""
