import dataclasses

import pytest
from pydantic import ValidationError

from nas.blocks import Rules
from nas.blocks.ends import HEAD_CONTEXT, Head, Stem, stem_part, tail_parts
from nas.cost import tally
from nas.ir import BatchNorm, Conv, Dropout, LayerNorm, Linear, walk
from tests.trees import plain

RULES = Rules()


def stem(side=224, **fields):
    return tally([stem_part(Stem(**fields), 3, RULES)], RULES, (3, side, side))


def tail(shape, num_classes=1000, **fields):
    parts = [part for _, part in tail_parts(Head(**fields), shape, num_classes, RULES)]
    count = tally(parts, RULES, shape)
    assert count.shape == (num_classes, 1, 1)
    return count


def layers(part, shape):
    return {layer.path: layer.leaf for layer in walk(part, shape)}


def tail_layers(shape, **fields):
    found = {}
    for name, part in tail_parts(Head(**fields), shape, 10, RULES):
        for layer in walk(part, shape, name):
            found[layer.path] = layer.leaf
            after = layer.out_shape
        shape = after
    return found


@pytest.mark.parametrize(
    ("fields", "shape", "params"),
    [
        ({"channels": 64, "kernel": 7}, (64, 112, 112), 3 * 64 * 49 + 2 * 64),
        (  # ResNet-D and ResNeSt: 19,232 more than ResNet's, as ResNet-50-D has more than ResNet-50
            {"channels": 64, "before": (32, 32)},
            (64, 112, 112),
            (3 * 32 + 32 * 32 + 32 * 64) * 9 + 2 * (32 + 32 + 64),
        ),
        (  # AlexNet
            {
                "channels": 64,
                "kernel": 11,
                "stride": 4,
                "padding": 2,
                "bias": True,
                "norm": "none",
            },
            (64, 55, 55),
            3 * 64 * 121 + 64,
        ),
        (  # SqueezeNet 1.0
            {"channels": 96, "kernel": 7, "padding": 0, "bias": True, "norm": "none"},
            (96, 109, 109),
            3 * 96 * 49 + 96,
        ),
        (  # SqueezeNet 1.1
            {"channels": 64, "padding": 0, "bias": True, "norm": "none"},
            (64, 111, 111),
            3 * 64 * 9 + 64,
        ),
        (  # ConvNeXt-Atto
            {
                "channels": 40,
                "kernel": 4,
                "stride": 4,
                "padding": 0,
                "bias": True,
                "norm": "layer",
                "activation": "identity",
            },
            (40, 56, 56),
            3 * 40 * 16 + 40 + 2 * 40,
        ),
        (  # Xception
            {"channels": 64, "before": (32,), "padding": 0},
            (64, 109, 109),
            (3 * 32 + 32 * 64) * 9 + 2 * (32 + 64),
        ),
    ],
)
def test_stems_of_known_networks(fields, shape, params):
    count = stem(**fields)
    assert count.shape == shape
    assert count.params == params


def test_a_deep_stem_has_the_stride_first_and_the_names_of_a_simple_one_last():
    part = stem_part(Stem(channels=64, before=(32, 48), activation="relu6"), 3, RULES)
    found = layers(part, (3, 32, 32))
    assert list(found) == [
        *(f"before.{i}.{name}" for i in (0, 1) for name in ("conv", "norm", "act")),
        *("conv", "norm", "act"),
    ]
    convs = [leaf for leaf in found.values() if isinstance(leaf, Conv)]
    assert [(c.in_channels, c.out_channels, c.kernel, c.stride) for c in convs] == [
        (3, 32, 3, 2),
        (32, 48, 3, 1),
        (48, 64, 3, 1),
    ]


def test_a_simple_stem_follows_the_networks_rules():
    found = layers(stem_part(Stem(channels=8), 3, Rules("same", 1e-3, 0.01)), (3, 32, 32))
    assert found["conv"].padding == "same"
    assert (found["norm"].eps, found["norm"].momentum) == (1e-3, 0.01)
    assert found["act"].function == "relu"
    assert not found["conv"].bias


def test_an_even_kernel_needs_a_padding():
    with pytest.raises(ValidationError, match="an even kernel has no middle; give its padding"):
        Stem(channels=8, kernel=4)
    for kernel in range(1, 14):
        assert Stem(channels=8, kernel=kernel, padding=1).kernel == kernel


VGG_TAIL = 512 * 49 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 1000 + 1000
ALEXNET_TAIL = 256 * 36 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 1000 + 1000


@pytest.mark.parametrize(
    ("fields", "shape", "params", "madds"),
    [
        pytest.param(
            {"channels": 1280},
            (320, 7, 7),
            320 * 1280 + 2 * 1280 + 1280 * 1000 + 1000,
            320 * 1280 * 49 + 1280 * 1000,
            id="MobileNetV2",
        ),
        pytest.param(
            {"channels": 960, "activation": "hard_swish", "hidden": (1280,), "dropout": 0.2},
            (160, 7, 7),
            160 * 960 + 2 * 960 + 960 * 1280 + 1280 + 1280 * 1000 + 1000,
            160 * 960 * 49 + 2_508_800,
            id="MobileNetV3-L",
        ),
        pytest.param(
            {"channels": 576, "activation": "hard_swish", "hidden": (1024,), "dropout": 0.2},
            (96, 7, 7),
            96 * 576 + 2 * 576 + 576 * 1024 + 1024 + 1024 * 1000 + 1000,
            96 * 576 * 49 + 1_613_824,
            id="MobileNetV3-S",
        ),
        pytest.param(
            {"channels": 960, "hidden": (1280,), "hidden_norm": "batch"},
            (128, 7, 7),
            128 * 960 + 2 * 960 + 960 * 1280 + 2 * 1280 + 1280 * 1000 + 1000,
            128 * 960 * 49 + 960 * 1280 + 1280 * 1000,
            id="MobileNetV4-conv-S",
        ),
        pytest.param(
            {"channels": 960, "hidden": (1280,), "hidden_norm": "batch"},
            (256, 8, 8),
            256 * 960 + 2 * 960 + 960 * 1280 + 2 * 1280 + 1280 * 1000 + 1000,
            256 * 960 * 64 + 960 * 1280 + 1280 * 1000,
            id="MobileNetV4-conv-M",
        ),
        pytest.param(
            {"channels": 960, "hidden": (1280,)},
            (160, 7, 7),
            160 * 960 + 2 * 960 + 960 * 1280 + 1280 + 1280 * 1000 + 1000,
            160 * 960 * 49 + 960 * 1280 + 1280 * 1000,
            id="GhostNet",
        ),
        pytest.param(
            {"channels": 0, "pool": "none", "hidden": (4096, 4096), "dropout": 0.5},
            (512, 7, 7),
            VGG_TAIL,
            123_633_664,
            id="VGG-16",
        ),
        pytest.param(
            {"channels": 0, "pool": "none", "hidden": (4096, 4096), "dropout": 0.5},
            (256, 6, 6),
            ALEXNET_TAIL,
            58_621_952,
            id="AlexNet",
        ),
        pytest.param(
            {"channels": 0, "classifier": "conv", "dropout": 0.5},
            (512, 13, 13),
            512 * 1000 + 1000,
            512 * 1000 * 169,
            id="SqueezeNet",
        ),
        pytest.param(
            {"channels": 0, "classifier": "conv", "hidden": (1024,), "dropout": 0.5},
            (1024, 5, 5),
            1024 * 1024 + 1024 + 1024 * 1000 + 1000,
            (1024 * 1024 + 1024 * 1000) * 25,
            id="NiN",
        ),
        pytest.param(
            {"channels": 0, "final_norm": "batch"},
            (1024, 7, 7),
            2 * 1024 + 1024 * 1000 + 1000,
            1_024_000,
            id="DenseNet-121",
        ),
        pytest.param(
            {"channels": 0, "final_norm": "layer"},
            (320, 7, 7),
            2 * 320 + 320 * 1000 + 1000,
            320_000,
            id="ConvNeXt-Atto",
        ),
    ],
)
def test_tails_of_known_networks(fields, shape, params, madds):
    count = tail(shape, **fields)
    assert (count.params, count.madds) == (params, madds)


def test_the_order_of_a_mobile_tail():
    found = tail_layers(
        (16, 5, 5), channels=32, activation="hard_swish", hidden=(64, 48), dropout=0.2
    )
    assert list(found) == [
        *("head.conv", "head.norm", "head.act", "pool"),
        *(f"hidden.{i}.{name}" for i in (0, 1) for name in ("conv", "act", "dropout")),
        "classifier",
    ]
    assert found["hidden.0.conv"].bias
    assert found["hidden.1.dropout"].rate == 0.2
    assert found["classifier"].in_features == 48


def test_a_normalized_hidden_layer_has_no_bias():
    found = tail_layers((16, 5, 5), hidden=(64,), hidden_norm="batch", activation="identity")
    assert list(found) == ["head.conv", "head.norm", "pool", "hidden.0.conv", "hidden.0.norm",
                           "classifier"]  # fmt: skip
    assert not found["hidden.0.conv"].bias


def test_layers_of_a_map_that_is_not_pooled_see_every_pixel():
    plain_tail = tail_layers((16, 3, 5), channels=0, pool="none")
    assert list(plain_tail) == ["classifier"]
    assert plain_tail["classifier"].in_features == 16 * 15
    found = tail_layers((16, 3, 5), channels=8, pool="none", hidden=(64, 32), dropout=0.5)
    assert isinstance(found["hidden.0.linear"], Linear)
    assert [found[f"hidden.{i}.linear"].in_features for i in (0, 1)] == [8 * 15, 64]
    assert found["classifier"].in_features == 32
    normal = tail_layers((16, 3, 5), channels=8, pool="none", hidden=(64,), hidden_norm="batch")
    assert normal["hidden.0.conv"].window == (3, 5)
    assert normal["hidden.0.conv"].padding == (0, 0, 0, 0)
    assert isinstance(normal["hidden.0.norm"], BatchNorm)


def test_a_convolutional_classifier_comes_before_the_pooling():
    found = tail_layers((16, 5, 5), channels=0, classifier="conv", dropout=0.5)
    assert list(found) == ["dropout", "classifier.conv", "classifier.act", "pool", "flatten"]
    assert isinstance(found["dropout"], Dropout)
    assert found["classifier.conv"].bias
    linear = tail_layers((16, 5, 5), channels=0, classifier="conv", activation="identity")
    assert list(linear) == ["classifier.conv", "pool", "flatten"]


def test_an_activation_alone_stands_before_the_pooling():
    found = tail_layers((16, 5, 5), channels=0, final_norm="activation", activation="swish")
    assert list(found)[:2] == ["act", "pool"]
    with pytest.raises(ValueError, match="needs another activation than identity"):
        Head(0, final_norm="activation", activation="identity")


def test_final_normalizations():
    batch = tail_layers((16, 5, 5), channels=0, final_norm="batch", activation="mish")
    assert list(batch) == ["norm.norm", "norm.act", "pool", "classifier"]
    layer = tail_layers((16, 5, 5), channels=0, final_norm="layer", dropout=0.1)
    assert list(layer) == ["pool", "norm", "dropout", "classifier"]
    assert isinstance(layer["norm"], LayerNorm)


def test_a_head_without_normalization_has_a_bias():
    found = tail_layers((16, 5, 5), channels=32, norm="none")
    assert list(found) == ["head.conv", "head.act", "pool", "classifier"]
    assert found["head.conv"].bias


def test_equal_parts_are_one_tree():
    for head in (Head(), Head(hidden=(8,), dropout=0.1), Head(0, classifier="conv"),
                 Head(0, final_norm="layer"), Head(0, pool="none", hidden=(8,))):  # fmt: skip
        one, two = (list(tail_parts(head, (16, 5, 5), 10, RULES)) for _ in range(2))
        assert all(a is b for (_, a), (_, b) in zip(one, two, strict=True))
    deep = Stem(channels=8, before=(8,))
    assert stem_part(deep, 3, RULES) is stem_part(deep, 3, RULES)


VALUES = {
    "channels": (0, 8),
    "activation": ("relu", "mish"),
    "norm": ("batch", "none"),
    "final_norm": ("none", "batch", "activation", "layer"),
    "pool": ("average", "none"),
    "hidden": ((), (8,)),
    "hidden_norm": ("none", "batch"),
    "classifier": ("linear", "conv"),
}


def all_heads():
    heads = [Head()]
    for name, values in VALUES.items():
        heads = [dataclasses.replace(head, **{name: value}) for head in heads for value in values]
    return heads


def test_fields_without_effect_are_exactly_those_that_change_no_layer():
    def tree(head):
        parts = tail_parts(head, (4, 3, 3), 10, RULES)
        return tuple((name, plain(part)) for name, part in parts)

    heads = all_heads()
    trees = {head: tree(head) for head in heads}
    for head in heads:
        assert trees[head.canonical()] == trees[head]
        for name in HEAD_CONTEXT:
            others = [dataclasses.replace(head, **{name: value}) for value in VALUES[name]]
            same = len({trees[other] for other in others}) == 1
            assert same == (name in head.idle), (head, name)
    canonical = {head.canonical() for head in heads}
    assert len({trees[head] for head in canonical}) == len(canonical)


def test_maps_of_every_size_have_the_same_tail_exactly_if_the_head_says_so():
    for head in all_heads():
        trees = {
            tuple((n, plain(p)) for n, p in tail_parts(head, (4, side, side), 10, RULES))
            for side in (3, 5)
        }
        assert (len(trees) == 1) == head.any_size
