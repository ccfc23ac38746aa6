"""Where each service stands: the one place to point the connectors at a mirror or a test server.

Everywhere else, code and manifests speak of the public addresses; :meth:`Endpoints.actual` turns
one into the address that is really asked, and the hosts that may be asked follow from it.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from urllib.parse import urlsplit

from data_connectors.errors import SelectionError

__all__ = ["BUCKETS", "VARIABLE", "Endpoints", "is_loopback"]

VARIABLE = "IMRAD_ENDPOINTS"
"""Environment variable: a base address that serves everything, or a YAML file of :class:`Endpoints` fields."""

BUCKETS: Mapping[str, str] = {
    "idc-open-data": "idc-open-data",
    "idc-open-data-two": "idc-open-idc1",
    "idc-open-data-cr": "idc-open-cr",
}
"""Public buckets of the imaging archive, and the name of each one's mirror in the other cloud."""

PUBLIC = {
    "gdc": "https://api.gdc.cancer.gov",
    "s3": "https://{bucket}.s3.amazonaws.com",
    "gcs": "https://storage.googleapis.com",
    "nbia": "https://nbia.cancerimagingarchive.net/nbia-api/services/v4",
    "cbioportal": "https://www.cbioportal.org/api",
    "tcia": "https://www.cancerimagingarchive.net",
    "geo": "https://ftp.ncbi.nlm.nih.gov/geo",
}


@dataclass(frozen=True)
class Endpoints:
    """Base address of every service.

    Attributes
    ----------
    gdc, s3, gcs, nbia, cbioportal, tcia, geo : str
        Base addresses; `s3` holds ``{bucket}``.
    index : str, optional
        Parquet file to read instead of the image index that idc-index-data brings.
    pins : mapping
        MD5 of published tables by UUID, where a mirror carries another edition than the pinned one.

    Raises
    ------
    SelectionError
        If an address is not https and not on this machine.
    """

    gdc: str = PUBLIC["gdc"]
    s3: str = PUBLIC["s3"]
    gcs: str = PUBLIC["gcs"]
    nbia: str = PUBLIC["nbia"]
    cbioportal: str = PUBLIC["cbioportal"]
    tcia: str = PUBLIC["tcia"]
    geo: str = PUBLIC["geo"]
    index: str | None = None
    pins: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in PUBLIC:
            address = getattr(self, name)
            parts = urlsplit(address.replace("{bucket}", "bucket"))
            if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
                message = (
                    f"the address of '{name}' is {address!r}; services are asked over https only: give an https address"
                )
                raise SelectionError(message)
        if "{bucket}" not in self.s3:
            message = f"the address of 's3' is {self.s3!r} and must hold '{{bucket}}'"
            raise SelectionError(message)

    @classmethod
    def at(cls, base: str, *, index: str | None = None, pins: Mapping[str, str] | None = None) -> Endpoints:
        """Return endpoints where one server plays every service, each under its own name."""
        base = base.rstrip("/")
        addresses = {name: f"{base}/{name}" + ("/{bucket}" if name == "s3" else "") for name in PUBLIC}
        return cls(**addresses, index=index, pins=pins or {})

    @classmethod
    def from_environment(cls) -> Endpoints:
        """Return the public services, or what the environment variable ``IMRAD_ENDPOINTS`` names.

        Raises
        ------
        SelectionError
            If the file is missing or has an unknown key.
        """
        value = os.environ.get(VARIABLE, "").strip()
        if not value:
            return cls()
        if value.startswith(("http://", "https://")):
            return cls.at(value)
        return cls.from_file(value)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Endpoints:
        """Read a YAML mapping of field names; key ``base`` stands for every service at once."""
        import yaml

        try:
            settings = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
        except (OSError, yaml.YAMLError) as error:
            message = f"{VARIABLE} names {str(path)!r}, which cannot be read as YAML ({error}); name a readable file"
            raise SelectionError(message) from error
        known = {one.name for one in fields(cls)} | {"base"}
        unknown = sorted(set(settings) - known) if isinstance(settings, dict) else ["(not a mapping)"]
        if unknown:
            message = f"{path} has the unknown key {unknown[0]!r}; known keys are {', '.join(sorted(known))}"
            raise SelectionError(message)
        base = settings.pop("base", None)
        return replace(cls.at(base), **settings) if base else cls(**settings)

    def actual(self, url: str) -> str:
        """Return the address that is asked when the public address `url` is meant."""
        for bucket in BUCKETS:
            public = PUBLIC["s3"].format(bucket=bucket)
            if url.startswith(public + "/"):
                return self.s3.format(bucket=bucket) + url[len(public) :]
        for name, public in PUBLIC.items():
            if url.startswith(public + "/"):
                return str(getattr(self, name)).rstrip("/") + url[len(public) :]
        return url

    def hosts(self) -> frozenset[str]:
        """Return the hosts (with port where one is given) that may be asked."""
        addresses = [getattr(self, name) for name in PUBLIC if name != "s3"]
        addresses += [self.s3.format(bucket=bucket) for bucket in BUCKETS]
        return frozenset(urlsplit(address).netloc.lower() for address in addresses)

    def allows(self, url: str) -> bool:
        """Say whether `url` may be asked: a listed host, and https unless it is on this machine."""
        parts = urlsplit(url)
        safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))
        return safe and parts.netloc.lower() in self.hosts()


def is_loopback(host: str | None) -> bool:
    """Say whether a host name means this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
