import pytest

from nas.testing.fakes import InstantDevice


@pytest.fixture
def instant(monkeypatch):
    """Measure latency at once, on a device that is none."""
    monkeypatch.setattr(
        "nas.export.device.open_device", lambda name, settings: InstantDevice(settings)
    )
