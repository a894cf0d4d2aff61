"""What the browser of the tests does not mind."""

from __future__ import annotations

import subprocess
import time

from playwright.sync_api import expect

from tests.web import viewer

HOST_END, OTHER_END = "gantry-test-a", "gantry-test-b"

ASKING = """<!doctype html><title>asking</title>
<p id="result">waiting</p>
<script src="/ask.js"></script>"""

ASK = """
const answers = [...Array(30).keys()].map(number => fetch("/slow?" + number));
Promise.all(answers).then(() => { result.textContent = "all answered" }, error => { result.textContent = error });
"""
"""More than the six connections that a browser opens to one host, so most of them wait."""


def test_servers_that_come_and_go_beside_it_cut_off_nothing() -> None:
    def slow() -> viewer.Answer:
        time.sleep(0.5)  # long enough for others to wait behind it
        return 200, "slow"

    with (
        viewer.served({"/": lambda: (200, ASKING), "/slow": slow, "/ask.js": lambda: (200, ASK)}) as address,
        viewer.browser() as chromium,
        viewer.looked_at(chromium, f"{address}/") as page,
    ):
        subprocess.run(["ip", "link", "add", HOST_END, "type", "veth", "peer", "name", OTHER_END], check=True)
        try:
            for end in (HOST_END, OTHER_END):
                subprocess.run(["ip", "link", "set", end, "up"], check=True)
            expect(page.locator("#result")).to_have_text("all answered")
        finally:
            subprocess.run(["ip", "link", "del", HOST_END], check=True)
