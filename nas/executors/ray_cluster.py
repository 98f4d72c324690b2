"""Connecting to a Ray cluster, and measuring on the node that has the device."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from typing import Any

import ray

from nas.errors import MixnasError
from nas.executors.base import MEMORY_SHARE
from nas.imports import own_packages_first, refuse_shadow
from nas.latency import Device, open_device
from nas.latency.conditions import Conditions, Latency, MeasurementSettings
from nas.latency.profile import DeviceProfile
from nas.latency.protocol import Effort
from nas.lowering import MERGE_ALL, FormChoice
from nas.machine import usable_cores, usable_memory
from nas.named import TimmNetwork
from nas.progress import Step
from nas.spec import NetworkSpec
from nas.units import GIBIBYTE

DEVICE_RESOURCE = "mixnas_device"
"""Ray's custom resource of the node that latency is measured on."""
_PATIENCE = 10.0  # seconds for a connection
_RESTARTS = 3  # of the device's actor, when its node or its process goes away
# Of the object store of a cluster on this machine, in bytes and as a share of the usable memory.
_LEAST_STORE, _MOST_STORE, _STORE_SHARE = 80 << 20, 4 * GIBIBYTE, 0.1


def local_cpus(workers: int, threads: int) -> int:
    """Return the number of CPUs that a cluster on this machine offers.

    No more than this process may use, whatever the run was configured for on another machine; but
    enough for one trial, which would wait for ever otherwise.

    Args:
        workers: Number of trials at the same time, at most.
        threads: Threads of each.
    """
    return max(threads, min(workers * threads, usable_cores()))


def connect(address: str, cpus: int | None = None) -> None:
    """Connect to a Ray cluster, or start one on this machine; do nothing if connected already.

    Args:
        address: ``local``, ``auto`` (the cluster that runs on this machine), or HOST:PORT.
        cpus: Number of CPUs that a local cluster offers.

    Raises:
        MixnasError: If there is no such cluster.
    """
    if ray.is_initialized():
        return
    # Tune would catch Ctrl-C, and write three logs for every trial.
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    # Of a worker that dies, the search tells in a line.
    os.environ.setdefault("TUNE_PRINT_ALL_TRIAL_ERRORS", "0")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # its banner counts trials to 2^63
    local = address == "local"
    try:
        if ":" in address and "//" not in address:
            host, _, port = address.rpartition(":")
            # Ray itself waits for minutes.
            socket.create_connection((host, int(port)), timeout=_PATIENCE).close()
        refuse_shadow(Path.cwd())
        ray.init(
            address="local" if local else address,
            num_cpus=cpus if local else None,
            # Ray would take the machine's memory, whatever this process may use.
            _memory=int(MEMORY_SHARE * usable_memory()) if local else None,
            object_store_memory=_object_store_bytes() if local else None,
            include_dashboard=False if local else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
            # Parts of a user's own are imported by their path on the nodes, too.
            runtime_env={"env_vars": {"PYTHONPATH": _import_path()}},
        )
    except (OSError, ValueError, RuntimeError) as error:
        token = ""
        if "RAY_AUTH_MODE" not in os.environ:  # Ray sends no token to an address that is named
            token = ". If it asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN here, too"
        raise MixnasError(
            f"there is no Ray cluster at '{address}' ({str(error).splitlines()[0]}); start one "
            f"with 'ray start --head', or give local, auto or HOST:PORT{token}"
        ) from None


def _object_store_bytes() -> int:
    """Return the size of a local cluster's object store: pickled estimators and supernets."""
    return max(_LEAST_STORE, min(_MOST_STORE, int(_STORE_SHARE * usable_memory())))


def _import_path() -> str:
    known = os.environ.get("PYTHONPATH")
    return os.pathsep.join([str(Path.cwd()), *([known] if known else [])])


def cluster_cpus() -> int:
    """Return the number of CPUs that a cluster offers for training, over all nodes."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def cluster_gpus() -> float:
    """Return the number of GPUs that a cluster offers for training, over all nodes."""
    return float(ray.cluster_resources().get("GPU", 0.0))


def cluster_device(name: str, settings: MeasurementSettings) -> Device:
    """Return the device of the node with `DEVICE_RESOURCE`, or else as without a cluster."""
    if DEVICE_RESOURCE in ray.cluster_resources() and not name.startswith("http"):
        return RayDevice(name, settings)
    return open_device(name, settings)


class _DeviceHost:
    """Runs on the node that has the device; it returns errors, since Ray would wrap them."""

    def __init__(self, name: str, settings: MeasurementSettings) -> None:
        own_packages_first()
        self._device = open_device(name, settings)

    def call(self, what: str, *arguments: Any) -> Any:
        try:
            if what == "conditions":
                return self._device.conditions
            if what == "profile":
                self._device.prepare()
                return self._device.profile
            return self._device.measure(*arguments)
        except MixnasError as error:
            return error


class RayDevice:
    """The device of one node of a cluster."""

    local = False

    def __init__(self, name: str, settings: MeasurementSettings) -> None:
        """Start the process that measures, on the node that has the resource."""
        self.name = name
        self._settings = settings
        self._conditions: Conditions | None = None
        self._profile: DeviceProfile | None = None
        # Any share of the resource will do: a single actor has exclusive use of the device.
        host = ray.remote(_DeviceHost).options(
            num_cpus=0,
            resources={DEVICE_RESOURCE: 0.01},
            max_restarts=_RESTARTS,
            max_task_retries=_RESTARTS,
        )
        self._host = host.remote(name, settings)

    def _call(self, what: str, *arguments: Any) -> Any:
        try:
            answer = ray.get(self._host.call.remote(what, *arguments))
        except ray.exceptions.RayError as error:
            raise MixnasError(
                f"the node with the resource '{DEVICE_RESOURCE}' cannot measure: "
                f"{str(error).splitlines()[0]}; when it is back, continue with --resume"
            ) from None
        if isinstance(answer, MixnasError):
            raise answer
        return answer

    @property
    def conditions(self) -> Conditions:
        """See `Device`."""
        if self._conditions is None:
            self._conditions = self._call("conditions")
        return self._conditions

    def prepare(self, step: Step | None = None) -> None:
        """See `Device`; nothing is shown meanwhile."""
        if self._profile is None:
            self._profile = self._call("profile")

    @property
    def profile(self) -> DeviceProfile:
        """See `Device`."""
        self.prepare()
        assert self._profile is not None
        return self._profile

    def form_choice(self) -> FormChoice:
        """See `Device`."""
        return self.profile if self._settings.lowered else MERGE_ALL

    def measure(self, spec: NetworkSpec, effort: Effort | None = None) -> Latency:
        """See `Device`."""
        latency: Latency = self._call("measure", spec, effort)
        return latency

    def check_timm(self, network: TimmNetwork) -> None:
        """See `TimmDevice`; only the node knows, and measuring it there will tell."""

    def measure_timm(self, network: TimmNetwork, effort: Effort | None = None) -> Latency:
        """See `TimmDevice`."""
        latency: Latency = self._call("measure_timm", network, effort)
        return latency
