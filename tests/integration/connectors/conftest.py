"""The loopback services, a client that does not sleep, and shorthand for a fetch."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

import data_connectors
from data_connectors import Client, Limits

SERVICES = Path(__file__).parents[2] / "services"


def load(name: str) -> ModuleType:
    """Import a module of tests/services by its path."""
    key = f"services_{name}"
    if key not in sys.modules:
        spec = importlib.util.spec_from_file_location(key, SERVICES / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[key] = module
        spec.loader.exec_module(module)
    return sys.modules[key]


class Clock:
    """Time that passes only when someone sleeps or looks."""

    def __init__(self) -> None:
        self.now = 0.0
        self.step = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def __call__(self) -> float:
        self.now += self.step
        return self.now


class Rig:
    """A world, its server, and a client that waits without waiting."""

    def __init__(self, world, server, folder: Path) -> None:
        self.world, self.server, self.folder = world, server, folder
        self.clock = Clock()
        self.limits = Limits(read_timeout_s=5.0, connect_timeout_s=5.0)
        self.loopback = load("loopback")

    @property
    def client(self) -> Client:
        return Client(self.server.endpoints, self.limits, sleep=self.clock.sleep, clock=self.clock, jitter=lambda: 1.0)

    def fault(self, pattern: str, change=None, **options) -> None:
        self.server.faults.append(self.loopback.Fault(pattern, change=change, **options))

    def plan(self, cohort: str = "tcga-kirc", **options):
        return data_connectors.plan(cohort, endpoints=self.server.endpoints, **options)

    def fetch(self, cohort: str = "tcga-kirc", *, folder: Path | None = None, client=None, offline=False, **options):
        plan = self.plan(cohort, **options)
        return data_connectors.execute(
            plan, folder or self.folder, client=client or self.client, workers=2, offline=offline
        )


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """Everything in the index rows."""
    return load("world").World(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def twelve():
    """The twelve TCGA-KIRC patients with an RCC-AID segmentation."""
    return load("world").twelve()


@pytest.fixture
def rig(world, tmp_path):
    """A fresh server of the shared world and an empty folder."""
    with load("loopback").Loopback(world) as server:
        yield Rig(world, server, tmp_path / "fetched")
    assert not server.errors


@pytest.fixture
def make_rig(tmp_path):
    """Rigs of worlds that a test may alter."""
    rigs = []

    def make(patients, **options):
        world = load("world").World(tmp_path / f"world{len(rigs)}", patients=patients, slices=22, size=32, **options)
        server = load("loopback").Loopback(world).__enter__()
        rigs.append(server)
        return Rig(world, server, tmp_path / f"fetched{len(rigs)}")

    yield make
    for server in rigs:
        server.__exit__()
        assert not server.errors
