import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

import onnx
import torch

from nas.errors import UnrunnableError
from nas.latency.conditions import MeasurementSettings
from nas.latency.runtimes import open_runtime
from nas.latency.timm_networks import check_runtime, exported, timm_loader
from nas.named import TimmNetwork, open_timm

NETWORKS = [TimmNetwork("timm:resnet18", 7, 32), TimmNetwork("timm:vit_small", 7, 160)]
SETTINGS = MeasurementSettings(threads=1, batch=2)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.timm_name)
@pytest.mark.parametrize("device", ["onnxruntime:cpu", "openvino:cpu", "torch:cpu"])
def test_networks_run_in_batches(stand_in_for_timm, device, network):
    pytest.importorskip(device.partition(":")[0])
    assert timm_loader(open_runtime(device, SETTINGS), network, "fp32")()() > 0


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.timm_name)
def test_the_exported_network_computes_the_same(stand_in_for_timm, network):
    pytest.importorskip("onnxruntime")
    module = network.build(0).eval()
    images = torch.randn(3, *network.in_shape)
    model = open_runtime("onnxruntime:cpu", SETTINGS).open_model(
        exported(module, network.in_shape), 3
    )
    model.feed(images.numpy())
    model.run()
    np.testing.assert_allclose(model.outputs(), module(images).detach().numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "resolution"),
    [
        ("vit_tiny_patch16_224", 224),
        ("mixer_s32_224", 224),
        ("resmlp_12_224", 224),
        ("gmlp_ti16_224", 224),
        ("inception_v3", 139),
        ("convnext_atto", 96),
    ],
)
def test_transformers_and_mixers_of_timm_itself_compute_the_same(timm, name, resolution):
    network = open_timm(f"timm:{name}", 10, resolution)
    module = network.build(0).eval()
    images = torch.randn(2, *network.in_shape)
    with torch.no_grad():
        for weights in module.parameters():
            if not weights.any():  # mixers begin with classifiers that tell nothing
                weights.normal_(std=0.02)
        expected = module(images).numpy()
    model = open_runtime("onnxruntime:cpu", SETTINGS).open_model(
        exported(module, network.in_shape), 2
    )
    model.feed(images.numpy())
    model.run()
    # Untrained ones without normalization of their own statistics may have huge outputs.
    assert np.ptp(expected) > 0
    assert np.abs(model.outputs() - expected).max() < 1e-4 * np.abs(expected).max()


def test_int8_is_quantized_for_onnx_runtime(stand_in_for_timm, monkeypatch):
    pytest.importorskip("onnxruntime")
    runtime = open_runtime("onnxruntime:cpu", SETTINGS)
    models = []
    monkeypatch.setattr(runtime, "load_model", models.append)
    timm_loader(runtime, NETWORKS[0], "int8")()
    operators = {node.op_type for node in onnx.load_model_from_string(models[0]).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear", "Conv"} <= operators


class Named:
    """A runtime of which only its name and format matter."""

    def __init__(self, name, model_format):
        self.name, self.model_format = name, model_format


@pytest.mark.parametrize("family", ["litert", "ncnn"])
def test_other_formats_are_refused(family):
    runtime = Named(f"{family}:cpu", family)
    with pytest.raises(UnrunnableError, match=f"{family}:cpu does not run timm:x: .* ONNX only"):
        check_runtime(runtime, "fp32", "timm:x")


def test_int8_of_openvino_is_refused():
    runtime = Named("openvino:cpu", "onnx")
    check_runtime(runtime, "fp32", "timm:x")
    with pytest.raises(UnrunnableError, match="openvino:cpu does not run timm:x in int8"):
        check_runtime(runtime, "int8", "timm:x")


def test_what_cannot_be_exported_is_told(stand_in_for_timm, monkeypatch, capsys):
    pytest.importorskip("onnxruntime")

    def refuse(*words, **options):
        print("the whole graph")
        raise RuntimeError("no operator for it")

    monkeypatch.setattr("torch.onnx.export", refuse)
    with pytest.raises(UnrunnableError, match="cannot be exported to ONNX: no operator for it"):
        timm_loader(open_runtime("onnxruntime:cpu", SETTINGS), NETWORKS[0], "fp32")
    assert capsys.readouterr().out == ""
