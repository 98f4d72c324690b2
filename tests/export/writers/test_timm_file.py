"""Networks that timm builds from what is written."""

import dataclasses
import runpy

import pytest
from safetensors import safe_open

from nas.blocks import ConvBlock, DSConv, MBConv
from nas.errors import MixnasError
from nas.export.parity import noise
from nas.export.writers.timm_file import run_timm
from nas.spec import Head, Input, Norm, Stem
from tests.export.exporting import MINI, agree, logits, trained_like, write
from tests.formats.test_metadata import METADATA
from tests.networks import DEEP

EVERY = DEEP.replace(
    stages=(
        (
            ConvBlock(channels=16, kernels=(5,), skip=True),
            MBConv(channels=16, expansion=1, se_ratio=0.25, activation="hard_swish"),
            DSConv(channels=24, kernels=(3, 5), stride=2),
            MBConv(channels=24, kernels=(3, 5, 7), project_groups=2, expansion=2.5, se_ratio=0.3),
        ),
        (MBConv(channels=24, kernels=(5,), group_width=8, skip=False, activation="mish"),),
    ),
    head=Head(channels=0),
    input=Input(resolution=33),
)


@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize("spec", [MINI, EVERY], ids=["mini", "every"])
def test_timm_builds_the_network_with_the_outputs_of_torch(timm, tmp_path, spec, padding):
    model = trained_like(spec.replace(padding=padding, norm=Norm(1e-3, 0.01)))
    images = noise(spec)
    metadata = dataclasses.replace(METADATA, classes=("a", "b"))
    told = write("timm", tmp_path / "m_timm.py", model, metadata=metadata, images=images)
    assert told["largest_relative_difference"] < 1e-5
    assert (told["checked_images"], told["same_class"]) == (8, 8)
    names = ["m_timm.py", "m_timm.py.json", "m_timm.safetensors"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    file = runpy.run_path(str(tmp_path / "m_timm.py"))
    network = file["load"]()
    assert isinstance(network, timm.models.EfficientNet)
    assert agree(logits(network, images[:3]), logits(model, images[:3]))
    assert file["CLASSES"] == ["a", "b"]
    with safe_open(tmp_path / "m_timm.safetensors", "pt") as weights:
        assert weights.metadata() == metadata.to_properties()


@pytest.mark.parametrize("function", ["leaky_relu", "hard_swish"])
def test_timm_has_the_gates_and_slopes_of_the_network(timm, tmp_path, function):
    block = MBConv(
        channels=24,
        se_ratio=0.5,
        activation=function,
        se_activation="leaky_relu",
        gate="hard_sigmoid",
    )
    spec = MINI.replace(
        stem=Stem(channels=16, activation=function),
        stages=((block,),),
        head=Head(channels=32, activation=function),
    )
    model, images = trained_like(spec), noise(spec)
    told = write("timm", tmp_path / "m_timm.py", model, images=images)
    assert told["largest_relative_difference"] < 1e-5
    text = (tmp_path / "m_timm.py").read_text()
    assert "gate_layer=nn.Hardsigmoid" in text


def test_what_timm_cannot_build_is_not_written(timm, tmp_path):
    spec = MINI.replace(stages=((MBConv(channels=16, kernels=(5,), dilated=True),),))
    with pytest.raises(MixnasError, match=r"timm cannot build tiny: stages\.0\.0: strings have no"):
        write("timm", tmp_path / "m_timm.py", trained_like(spec))
    assert list(tmp_path.iterdir()) == []


def test_a_timm_that_fails_is_told_in_a_line(tmp_path):
    (tmp_path / "m.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    with pytest.raises(MixnasError, match="timm cannot build the network here: operator torchvis"):
        run_timm(tmp_path / "m.py")
