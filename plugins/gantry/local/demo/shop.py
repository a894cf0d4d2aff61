"""The bookshop as its visitors see it: HTTP through the load balancer."""

from __future__ import annotations

import dataclasses
import html
import re
import time

import httpx

from gantry.local import errors

HOST = "shop.example.com"
_HEADING = re.compile(r"<h1>(.*?)</h1>", re.DOTALL)
_MOST_BOOKS = 1000
_PAUSE = 0.1


class ShopError(errors.LocalCloudError):
    """The shop does not answer as it should."""

    def __init__(self, url: str, problem: str) -> None:
        self.url = url
        self.problem = problem
        super().__init__(f"the shop at {url} (Host: {HOST}): {problem}")


@dataclasses.dataclass(frozen=True)
class Page:
    """The shop's front page, as one application server made it."""

    served_by: str
    greeting: str


@dataclasses.dataclass(frozen=True)
class Books:
    """Rows of the catalogue.

    Attributes:
        count: of all books in the database.
        titles: of the first ones (a thousand at most).
    """

    served_by: str
    count: int
    titles: tuple[str, ...]


class Shop:
    """The shop behind one address of the load balancer.

    Args:
        url: for example `http://10.200.0.5:80`.
        host: the name that the balancer answers for.
    """

    def __init__(self, url: str, host: str = HOST) -> None:
        self.url = url
        self.host = host
        self._client = httpx.Client(base_url=url, headers={"Host": host}, timeout=10)

    def page(self) -> Page:
        """The front page. Raises ShopError if it does not come."""
        answer = self._get("/")
        heading = _HEADING.search(answer.text)
        return Page(_server(answer), html.unescape(heading[1]).strip() if heading else "")

    def books(self, limit: int = _MOST_BOOKS) -> Books:
        """Rows from the datasource. Raises ShopError if they do not come."""
        answer = self._get(f"/books.json?limit={limit}")
        found = answer.json()
        return Books(_server(answer), found["count"], tuple(each["title"] for each in found["books"]))

    def pages_of(self, servers: int, seconds: float = 20) -> dict[str, Page]:
        """One page of each application server, by the server's name; asks until so many have answered.

        Raises:
            ShopError: not all of them answered in time.
        """
        found: dict[str, Page] = {}
        deadline = time.monotonic() + seconds
        while len(found) < servers:
            page = self.page()
            found[page.served_by] = page
            if time.monotonic() > deadline:
                seen = ", ".join(sorted(found))
                raise ShopError(self.url, f"{servers} servers should answer; within {seconds:g} s: {seen}")
            if len(found) < servers:
                time.sleep(_PAUSE)
        return found

    def _get(self, path: str) -> httpx.Response:
        try:
            answer = self._client.get(path)
        except httpx.HTTPError as error:
            raise ShopError(f"{self.url}{path}", str(error) or type(error).__name__) from error
        if answer.status_code != httpx.codes.OK:
            raise ShopError(f"{self.url}{path}", f"status {answer.status_code}: {answer.text[:200].strip()}")
        return answer


def _server(answer: httpx.Response) -> str:
    return str(answer.headers.get("X-Served-By", ""))
