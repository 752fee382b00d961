"""Room ``probe``: behaviours, as named inputs with a loss, measured without touching training."""

from gradledger.probe.evaluate import probe_gradient, probe_value
from gradledger.probe.probe import Probe, check_probes, is_step

__all__ = ["Probe", "check_probes", "is_step", "probe_gradient", "probe_value"]
