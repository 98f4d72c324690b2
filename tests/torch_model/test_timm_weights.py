import pytest
import torch

from nas.blocks import DSConv, MBConv
from nas.errors import MixnasError
from nas.spec import Head, NetworkSpec, Norm, Stem, load_network
from nas.torch_model import build, load_timm_state_dict, timm_state_dict

TIMM = {
    "mixnet_s": "mixnet_s",
    "mixnet_m": "mixnet_m",
    "mixnet_l": "mixnet_l",
    "mobilenet_v1": "mobilenetv1_100",
    "mobilenet_v2": "mobilenetv2_100",
    "efficientnet_b0": "efficientnet_b0",
}


def test_foreign_weights_are_refused_and_the_model_kept():
    model = build(load_network("mixnet_s"), 1)
    before = model.stem.conv.weight.clone()
    with pytest.raises(MixnasError, match=r"'conv_stem.weight' is missing.* and \d+ more"):
        load_timm_state_dict(model, {})
    assert torch.equal(model.stem.conv.weight, before)


@pytest.mark.parametrize("name", TIMM)
@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_outputs_equal_timms(timm, name, padding):
    torch.manual_seed(0)
    theirs_name = TIMM[name] if padding == "symmetric" else f"tf_{TIMM[name]}"
    if theirs_name not in timm.list_models():
        pytest.skip(f"timm has no {theirs_name}")
    theirs = timm.create_model(theirs_name).eval()
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    spec = load_network(name)
    if padding == "same":
        spec = spec.replace(padding="same", norm=Norm(1e-3, 0.01))
    ours = build(spec).eval()
    load_timm_state_dict(ours, theirs.state_dict())
    x = torch.randn(2, 3, 97, 97)
    with torch.no_grad():
        assert (ours(x) - theirs(x)).abs().max() <= 1e-5


def timm_state():
    """A state dict as timm names it: of one separable block, one with an expansion, a plain conv.

    Names are those of timm/models/_efficientnet_blocks.py; values are a running number.
    """
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    layers = {
        "conv_stem": ("weight",), "bn1": norm,
        "blocks.0.0.conv_dw": ("weight",), "blocks.0.0.bn1": norm,
        "blocks.0.0.se.conv_reduce": ("weight", "bias"),
        "blocks.0.0.se.conv_expand": ("weight", "bias"),
        "blocks.0.0.conv_pw": ("weight",), "blocks.0.0.bn2": norm,
        "blocks.1.0.conv_pw": ("weight",), "blocks.1.0.bn1": norm,
        "blocks.1.0.conv_dw": ("weight",), "blocks.1.0.bn2": norm,
        "blocks.1.0.conv_pwl": ("weight",), "blocks.1.0.bn3": norm,
        "conv_head": ("weight",), "bn2": norm,
        "classifier": ("weight", "bias"),
    }  # fmt: skip
    return [f"{layer}.{name}" for layer, names in layers.items() for name in names]


def test_weights_find_their_places():
    spec = NetworkSpec(
        stem=Stem(channels=8),
        stages=(
            (DSConv(channels=8, kernels=(3,), se_ratio=0.5),),
            (MBConv(channels=8, stride=2, kernels=(3,), expansion=2),),
        ),
        head=Head(channels=16),
        num_classes=4,
    )
    model = build(spec, 0)
    own = model.state_dict()
    names = timm_state()
    assert len(names) == len(own)
    # timm registers its layers in the order they run in, as we do.
    state = {
        theirs: torch.full_like(own[ours], index)
        for index, (theirs, ours) in enumerate(zip(names, own, strict=True))
    }
    load_timm_state_dict(model, state)
    assert model.stem.conv.weight.unique().tolist() == [names.index("conv_stem.weight")]
    block = model.stages[1].get_submodule("0")
    assert block.project.norm.bias.unique().tolist() == [names.index("blocks.1.0.bn3.bias")]
    separable = model.stages[0].get_submodule("0")
    assert separable.project.conv.weight.unique().tolist() == [
        names.index("blocks.0.0.conv_pw.weight")
    ]
    assert separable.se.reduce.bias.unique().tolist() == [
        names.index("blocks.0.0.se.conv_reduce.bias")
    ]
    with pytest.raises(MixnasError, match=r"'extra' is unexpected; is it the same architecture"):
        load_timm_state_dict(model, {**state, "extra": torch.zeros(1)})
    with pytest.raises(MixnasError, match=r"'classifier.bias' is \(5,\), expected \(4,\)"):
        load_timm_state_dict(model, {**state, "classifier.bias": torch.zeros(5)})


def test_weights_have_timms_names_at_the_places_that_timm_has_them():
    model = build(load_network("mixnet_s"), 1)
    state = timm_state_dict(model)
    assert len(state) == len(model.state_dict())
    assert torch.equal(
        state["blocks.2.0.conv_dw.1.weight"], model.stages[2][0].depthwise.conv[1].weight
    )
    assert torch.equal(state["blocks.2.0.se.conv_reduce.bias"], model.stages[2][0].se.reduce.bias)
    assert torch.equal(state["bn2.weight"], model.head.norm.weight)
    places = {(i, j): (i + 1, j) for i in range(6) for j in range(4)}
    moved = timm_state_dict(model, places)
    assert torch.equal(moved["blocks.3.0.conv_pwl.weight"], model.stages[2][0].project.conv.weight)
    again = build(load_network("mixnet_s"), 2)
    load_timm_state_dict(again, state)
    assert torch.equal(again.classifier.weight, model.classifier.weight)
