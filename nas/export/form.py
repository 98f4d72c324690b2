"""The form in which a network is exported: as trained, by a simple rule, or the fastest one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from nas.export.device import ExportDevice
from nas.export.timing import remarks
from nas.latency.conditions import Precision
from nas.lowering import FormChoice
from nas.spec import NetworkSpec


@dataclass(frozen=True)
class ExportForm:
    """How the layers of a network are written.

    Attributes:
        choice: Rule that chooses the forms of lowered layers; None for the network as trained.
        facts: What is known of it, for the file beside the export.
    """

    choice: FormChoice | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """The latency on the device, in a sentence; empty if it was not measured."""
        latency = self.facts.get("latency")
        if latency is None:
            return ""
        return (
            f"on {latency['device']}, a network in this form ({latency['form']}, the fastest of "
            f"those tried) takes {latency['steady_ms']:.2f} ms{remarks(latency)}"
        )


def export_form(
    spec: NetworkSpec,
    lowered: bool,
    device: ExportDevice | None,
    rule: str = "merged",
    precision: Precision = "fp32",
) -> ExportForm:
    """Return the form in which a network is exported.

    Args:
        spec: The network.
        lowered: Whether it is lowered.
        device: Device on which its forms are timed, so that the fastest is taken; None for none.
        rule: Name of the rule without a device (see `nas.latency.deployment.SIMPLE_RULES`).
        precision: Precision of the arithmetic in which they are timed.

    Raises:
        MixnasError: If the device does not exist or cannot run the network.
    """
    from nas.latency.deployment import BY_LAYER, SIMPLE_RULES, rule_named

    if not lowered:
        return ExportForm()
    if device is None:
        return ExportForm(SIMPLE_RULES[rule], {"form": rule})
    opened = device.opened(precision)
    latency = opened.measure(spec)
    form = latency.form or BY_LAYER  # devices of users may know no other
    facts = {**latency.to_dict(), "form": form}
    return ExportForm(rule_named(form, opened.profile), {"form": form, "latency": facts})
