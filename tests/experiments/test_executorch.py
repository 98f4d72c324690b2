"""What the program for ExecuTorch does before ExecuTorch itself is needed."""

import numpy as np
import torch

from experiments.benchmarks.executorch import forms_of, has_slices, set_apart, torch_outputs
from nas.latency.parity import TOLERANCE, difference
from nas.latency.runtimes.base import noise
from nas.torch_model import to_loaded_module


def test_a_network_is_timed_once_for_every_form_that_differs():
    forms = forms_of("mixnet_s")
    assert list(forms) == ["as trained", "merged", "phases", "slices with phases"]
    assert [has_slices(program) for program in forms.values()] == [True, False, False, True]
    assert list(forms_of("mobilenet_v2")) == ["as trained"]


def test_the_form_as_trained_has_the_outputs_of_the_network():
    program = forms_of("mobilenet_v2")["as trained"]
    module = to_loaded_module(program.tree, program.weights)
    with torch.inference_mode():
        found = module(torch.from_numpy(noise(1, program.shape))).numpy()
    right = torch_outputs("mobilenet_v2")
    assert right.shape == (1, 1000)
    assert difference(found, right) < TOLERANCE
    assert np.abs(right).max() > 0.1


def test_calls_of_the_delegate_are_not_counted_as_operators_outside():
    names = ["executorch_call_delegate", "getitem", "aten.mm.default", "aten.mm.default"]
    assert set_apart(names) == ["aten.mm.default"] * 2
