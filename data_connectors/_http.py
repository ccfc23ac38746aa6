"""Asking services: retries with patience, a list of allowed hosts, and sentences for what goes wrong.

Every request of the connectors goes through :class:`Client`. Redirects are followed by hand, to
allowed hosts only; nothing is decoded on the way, so that digests are of the bytes that were sent.
"""

from __future__ import annotations

import contextlib
import email.utils
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from data_connectors.endpoints import Endpoints
from data_connectors.errors import (
    ConnectorError,
    LimitError,
    NotFoundError,
    RedirectError,
    RefusedError,
    ServiceError,
)

__all__ = ["Client", "Limits", "Transient"]

T = TypeVar("T")

CHUNK = 1 << 20
QUERY_BYTES = 512 << 20
REDIRECTS = 5
BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
NETWORK_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, ConnectionError, TimeoutError)


@dataclass(frozen=True)
class Limits:
    """Bounds on patience, bytes and time.

    Attributes
    ----------
    tries : int
        Attempts per request or file before it counts as failed.
    backoff_s, backoff_cap_s : float
        First waiting time and the longest one; it doubles in between, with jitter.
    retry_after_cap_s : float
        Longest wait that a service may ask for.
    connect_timeout_s, read_timeout_s : float
        Seconds without an answer.
    window_s, window_bytes : float, int
        A body that brings less than `window_bytes` in `window_s` seconds is given up and resumed.
    file_s : float
        Longest time for one attempt at one file.
    file_bytes, total_bytes : int
        Largest file, and largest sum of a fetch.
    failures : int
        Files that may fail one after the other before the rest is not tried any more.
    """

    tries: int = 6
    backoff_s: float = 1.0
    backoff_cap_s: float = 60.0
    retry_after_cap_s: float = 300.0
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 120.0
    window_s: float = 60.0
    window_bytes: int = 60_000
    file_s: float = 3600.0
    file_bytes: int = 8_000_000_000
    total_bytes: int = 1_000_000_000_000
    failures: int = 5


class Transient(Exception):
    """A failure that may pass; holds the sentence for when it does not, and a wish to wait."""

    def __init__(self, sentence: str, *, wait_s: float | None = None, becomes: type[ConnectorError] = ServiceError):
        super().__init__(sentence)
        self.sentence = sentence
        self.wait_s = wait_s
        self.becomes = becomes


class Client:
    """A polite HTTP client for the services of :class:`Endpoints`.

    Parameters
    ----------
    endpoints : Endpoints, optional
        Where the services stand.
    limits : Limits, optional
        Patience.
    workers : int
        Connections kept open per host.
    sleep, clock, jitter : callable
        Waiting, monotonic seconds, and a number between 0 and 1; tests replace them.
    """

    def __init__(
        self,
        endpoints: Endpoints | None = None,
        limits: Limits | None = None,
        *,
        workers: int = 8,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.endpoints = endpoints or Endpoints()
        self.limits = limits or Limits()
        self.sleep = sleep
        self.clock = clock
        self._jitter = jitter
        self._session = requests.Session()
        adapter = HTTPAdapter(pool_connections=16, pool_maxsize=max(workers, 1), max_retries=0)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        # A callable here keeps requests from reading ~/.netrc at every call: no service takes a password.
        self._session.auth = _anonymous
        self._session.headers.update({"User-Agent": f"imrad/{_version()}", "Accept-Encoding": "identity"})

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    @contextlib.contextmanager
    def answer(
        self,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[requests.Response]:
        """Yield the streamed answer of one attempt; `body` makes it a POST of JSON.

        Raises
        ------
        Transient
            If another attempt may help.
        RefusedError, RedirectError, ServiceError
            If it will not.
        """
        actual = self.endpoints.actual(url)
        try:
            response = self._follow(actual, params, body, headers)
        except NETWORK_ERRORS as error:
            raise self._explain(error, url) from error
        with contextlib.closing(response):
            self._check_status(response, url)
            try:
                yield response
            except NETWORK_ERRORS as error:
                raise self._explain(error, url) from error

    def _follow(
        self, url: str, params: Mapping[str, Any] | None, body: Any, headers: Mapping[str, str] | None
    ) -> requests.Response:
        origin = url
        for _ in range(REDIRECTS):
            if not self.endpoints.allows(url):
                host = urlsplit(url).netloc
                message = (
                    f"{origin} points to {host}, which is not a host that imrad may ask; "
                    "nothing was sent there: check the network for a login page or proxy"
                )
                raise RedirectError(message)
            response = self._session.request(
                "GET" if body is None else "POST",
                url,
                params=dict(params) if params else None,
                json=body,
                headers=dict(headers) if headers else None,
                stream=True,
                allow_redirects=False,
                timeout=(self.limits.connect_timeout_s, self.limits.read_timeout_s),
            )
            if response.status_code not in (301, 302, 303, 307, 308):
                return response
            target = response.headers.get("Location", "")
            response.close()
            url, params = urljoin(url, target), None
        message = f"{origin} redirects more than {REDIRECTS} times; try again later"
        raise RedirectError(message)

    def _check_status(self, response: requests.Response, url: str) -> None:
        status = response.status_code
        if 200 <= status < 300:
            return
        said = _first_words(response)
        if status in BUSY:
            wait = _retry_after(response)
            if wait is not None and wait > self.limits.retry_after_cap_s:
                message = f"{_host(url)} asks to wait {wait:.0f} s (status {status}); run the same command again later"
                raise ServiceError(message)
            message = f"{_host(url)} keeps answering with status {status}{said}; run the same command again later"
            raise Transient(message, wait_s=wait)
        kind = NotFoundError if status in (404, 410) else RefusedError
        hint = "the file is under controlled access, which imrad does not use" if status == 403 else ""
        message = f"{_host(url)} refused {url} with status {status}{said}; {hint or 'trying again will not help'}"
        raise kind(message, status)

    def _explain(self, error: Exception, url: str) -> Exception:
        host = _host(url)
        if isinstance(error, requests.exceptions.SSLError):
            return ServiceError(
                f"the secure connection to {host} could not be verified; behind a company proxy set REQUESTS_CA_BUNDLE "
                "to its certificate file"
            )
        if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidProxyURL):
            return ServiceError(f"{error}; check HTTPS_PROXY and the configured addresses")
        if isinstance(error, requests.exceptions.ConnectionError) and "resolve" in str(error).lower():
            return Transient(
                f"the name {host} cannot be resolved; is this machine offline, or does it need HTTPS_PROXY?"
            )
        reason = type(error).__name__
        return Transient(
            f"the connection to {host} failed again and again ({reason}); run the same command again to go on"
        )

    def patiently(self, attempt: Callable[[int], T], *, tries: int | None = None) -> T:
        """Run ``attempt(number)`` until it does not raise :class:`Transient`, waiting longer each time.

        Raises
        ------
        ConnectorError
            What the last failure becomes when patience ends.
        """
        tries = tries or self.limits.tries
        for number in range(tries):
            try:
                return attempt(number)
            except Transient as failure:
                if number == tries - 1:
                    raise failure.becomes(failure.sentence) from failure
                self.sleep(self._wait(number, failure.wait_s))
        raise AssertionError

    def _wait(self, number: int, asked: float | None) -> float:
        longest = min(self.limits.backoff_s * float(2**number), self.limits.backoff_cap_s)
        drawn = longest * (0.5 + 0.5 * self._jitter())
        return drawn if asked is None else max(drawn, asked)

    def chunks(self, response: requests.Response, limit: int) -> Iterator[bytes]:
        """Yield the body as it arrives, undecoded; slow drips, endless bodies and long waits end.

        Raises
        ------
        Transient
            If too little arrives for too long, or the attempt takes too long.
        LimitError
            If more than `limit` bytes arrive.
        """
        raw = response.raw
        # read1 returns what one system call brings; read(n) would hide a slow drip until n bytes are there.
        read = getattr(raw, "read1", raw.read)
        started = window = self.clock()
        total = in_window = 0
        while True:
            try:
                chunk = read(CHUNK, decode_content=False)
            except NETWORK_ERRORS as error:
                raise self._explain(error, response.url) from error
            if not chunk:
                return
            total += len(chunk)
            in_window += len(chunk)
            if total > limit:
                message = (
                    f"{response.url} sends more than the {limit:,} bytes that were announced or are allowed; it was "
                    "given up"
                )
                raise LimitError(message)
            yield chunk
            now = self.clock()
            if now - started > self.limits.file_s:
                message = (
                    f"{_host(response.url)} needed more than {self.limits.file_s:.0f} s for one file; raise the "
                    "limit or try later"
                )
                raise Transient(message, becomes=LimitError)
            if now - window > self.limits.window_s:
                if in_window < self.limits.window_bytes:
                    message = (
                        f"{_host(response.url)} sent only {in_window:,} bytes in {now - window:.0f} s; run the same "
                        "command again later"
                    )
                    raise Transient(message)
                window, in_window = now, 0

    def text(self, url: str, *, params: Mapping[str, Any] | None = None, body: Any = None) -> bytes:
        """Return the whole body of a question; an HTML page is not an answer.

        Raises
        ------
        ServiceError
            If the service cannot be reached, refuses, or answers with a page.
        """

        def attempt(_: int) -> bytes:
            with self.answer(url, params=params, body=body) as response:
                data = b"".join(self.chunks(response, QUERY_BYTES))
                announced = response.headers.get("Content-Length")
                if announced is not None and int(announced) != len(data):
                    message = f"{_host(url)} broke off its answer after {len(data):,} of {announced} bytes"
                    raise Transient(message)
                if looks_like_page(data):
                    message = (
                        f"{_host(url)} answered with a web page instead of data; a proxy or maintenance page? open "
                        f"{url} in a browser"
                    )
                    raise Transient(message)
                return data

        return self.patiently(attempt)

    def json(self, url: str, *, params: Mapping[str, Any] | None = None, body: Any = None) -> Any:
        """Return the decoded JSON of a question, or None where the body is empty."""

        def attempt(_: int) -> Any:
            data = self.text(url, params=params, body=body)
            if not data.strip():
                return None
            try:
                return json.loads(data)
            except ValueError as error:
                message = (
                    f"{_host(url)} answered with something that is not JSON ({data[:40]!r}); run the same command "
                    "again later"
                )
                raise Transient(message) from error

        return self.patiently(attempt, tries=3)


def looks_like_page(data: bytes) -> bool:
    """Say whether bytes begin as an HTML page."""
    head = data[:512].lstrip().lower()
    return head.startswith((b"<!doctype html", b"<html", b"<head"))


def _anonymous(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _host(url: str) -> str:
    return urlsplit(url).netloc


def _first_words(response: requests.Response) -> str:
    try:
        data = response.raw.read(2000, decode_content=True) or b""
    except NETWORK_ERRORS:
        return ""
    if looks_like_page(data):
        return ""
    try:
        value = json.loads(data)
        said = value.get("message") or value.get("error") if isinstance(value, dict) else None
    except ValueError:
        said = None
    words = " ".join(str(said or data.decode("utf-8", "replace")).split())[:160]
    return f" ({words})" if words else ""


def _retry_after(response: requests.Response) -> float | None:
    value = response.headers.get("Retry-After", "").strip()
    if not value:
        return None
    with contextlib.suppress(ValueError):
        return max(float(value), 0.0)
    with contextlib.suppress(ValueError, TypeError):
        moment = email.utils.parsedate_to_datetime(value)
        return max((moment - datetime.now(UTC)).total_seconds(), 0.0)
    return None


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("imrad")
    except PackageNotFoundError:
        return "0"
