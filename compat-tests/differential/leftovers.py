"""Fails a run that plays all cases on all databases when a tolerance is left over: no case needs it any longer."""

from __future__ import annotations

import pytest

from . import RESOURCES, tolerated

#: What was played in this process, as `traces on sqlite`.
played: set[str] = set()


class Leftovers:
    """A plugin: collects from the workers of a parallel run what they needed."""

    def __init__(self, below_prefix: bool) -> None:
        if below_prefix:
            self._tolerances, self._everything = tolerated.TOLERATED_BELOW_PREFIX, {"artifacts on sqlite"}
        else:
            self._tolerances = tolerated.TOLERATED
            self._everything = {f"{resource} on {backend}" for resource in RESOURCES for backend in ("sqlite", "postgres")}
        self._needed: set[str] = set()
        self._played: set[str] = set()
        self._left: list[tolerated.Tolerance] = []

    def _collect(self, found: dict) -> None:
        self._needed |= set(found.get("needed", ()))
        self._played |= set(found.get("played", ()))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node) -> None:
        self._collect(getattr(node, "workeroutput", {}).get("tolerances", {}))

    def pytest_sessionfinish(self, session) -> None:
        found = {"needed": sorted(tolerated.needed), "played": sorted(played)}
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput["tolerances"] = found
            return
        self._collect(found)
        if self._everything <= self._played:
            self._left = [each for each in self._tolerances if not each.by_chance and each.name not in self._needed]
        if self._left:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter) -> None:
        if self._left:
            terminalreporter.section("tolerances that no case needs")
        for each in self._left:
            terminalreporter.line(each.name)
