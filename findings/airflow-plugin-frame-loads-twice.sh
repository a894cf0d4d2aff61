#!/bin/sh
# Airflow 3.3.2: a plugin's page in Airflow's frame (`external_views` with a `url_route`) is loaded twice when its path has
# a percent-encoded character that need not be encoded, such as the colons of a run's id. The second load comes when the
# page is there already, so it takes back what the reader has begun: a form that was sent in that moment is lost.
#
# Seen on 2026-11-30, Python 3.11, Chromium 156 (requests of the frame for the page behind a link):
#     items/a%3Ab:  2
#     items/a:b:    1
# Cause: the window repeats the frame's address in its own, the router hands it back decoded, and where that differs from
# the address of the frame, the frame is sent there. Of use: encode in a path only what has to be (RFC 3986, pchar).
#
# Needs a Chromium: CHROMIUM, or `chromium` on the PATH.
set -eu

chromium=${CHROMIUM:-$(command -v chromium)} || {
    echo "no Chromium: put one on the PATH, or name it in CHROMIUM" >&2
    exit 2
}
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -TERM "$server" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install apache-airflow==3.3.2 playwright==1.56.0

export AIRFLOW_HOME="$folder/airflow" AIRFLOW__CORE__LOAD_EXAMPLES=False
export AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS=True AIRFLOW__API__WORKERS=1
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export AIRFLOW__API__PORT="$port" AIRFLOW__API__HOST=127.0.0.1 AIRFLOW__API__BASE_URL="http://127.0.0.1:$port"
mkdir -p "$AIRFLOW_HOME/plugins"
cat >"$AIRFLOW_HOME/plugins/shelf.py" <<'PYTHON'
import fastapi
from airflow.plugins_manager import AirflowPlugin
from fastapi.responses import HTMLResponse

app = fastapi.FastAPI()


@app.get("/")
def start():
    links = ("a%3Ab", "a:b")
    return HTMLResponse("".join(f'<p><a href="/shelf/items/{each}">to {each}</a></p>' for each in links))


@app.get("/items/{item}")
def page(item: str):
    return HTMLResponse(f"<h1>this is {item}</h1>")


class Shelf(AirflowPlugin):
    name = "shelf"
    fastapi_apps = [{"app": app, "url_prefix": "/shelf", "name": "shelf"}]
    external_views = [{"name": "Shelf", "href": "/shelf/", "destination": "nav", "url_route": "shelf"}]
PYTHON
cat >"$folder/look.py" <<'PYTHON'
import sys
from playwright.sync_api import expect, sync_playwright

url, chromium = sys.argv[1:]
with sync_playwright() as play:
    browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
    for link in ("a%3Ab", "a:b"):
        page = browser.new_page()
        asked = []
        page.on("request", lambda request: asked.append(request.url) if request.is_navigation_request() else None)
        page.goto(f"{url}/plugin/shelf")
        frame = page.frame_locator("iframe")
        frame.get_by_role("link", name=f"to {link}").click(timeout=60_000)
        expect(frame.get_by_role("heading")).to_have_text("this is a:b", timeout=60_000)
        # The window's address follows the frame's; a second load comes right behind it.
        page.wait_for_url("**/plugin/shelf/**/items/**", timeout=60_000)
        page.wait_for_timeout(3000)
        print(link, sum("/items/" in each and "/plugin/" not in each for each in asked), flush=True)
        page.close()
    browser.close()
PYTHON

"$folder/venv/bin/airflow" db migrate >/dev/null 2>&1
"$folder/venv/bin/airflow" api-server >"$folder/log" 2>&1 &
server=$!
left=180
until "$folder/venv/bin/python" -c "import urllib.request; urllib.request.urlopen('http://127.0.0.1:$port/api/v2/version')" 2>/dev/null; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || { cat "$folder/log" >&2; exit 1; }
    sleep 1
done
seen=$("$folder/venv/bin/python" "$folder/look.py" "http://127.0.0.1:$port" "$chromium")
echo "$seen"
[ "$seen" = "$(printf 'a%%3Ab 2\na:b 1')" ] || {
    echo "Airflow does otherwise by now" >&2
    exit 1
}
