from dataclasses import replace

from nas.references import references
from nas.spec import load_network, reference_names

FOUND = {reference.spec.name: reference for reference in references()}


def test_references_are_the_packaged_networks():
    assert list(FOUND) == reference_names()
    assert FOUND["mixnet_s"].spec == load_network("mixnet_s")


def test_families_leave_pooling_aside():
    families = {
        "mixnet_s": "mbconv",
        "resnet_18": "basic",
        "regnet_y_200mf": "bottleneck",
        "vgg_16": "conv",
        "shufflenet_v2_x0_5": "shuffle_v2",
        "xception": "xception",
    }
    assert {name: FOUND[name].family for name in families} == families


def test_what_is_published():
    published = FOUND["mixnet_m"].published
    assert (published.top1, published.resolution) == (77.268, 224)
    assert (published.weights, published.licence) == ("timm:mixnet_m.ft_in1k", "Apache-2.0")
    known = {name: found.published for name, found in FOUND.items() if found.published is not None}
    # Of these, nothing is published: variants, and networks whose accuracy is another one's.
    assert FOUND.keys() - known.keys() == {
        "mixnet_m_gpu", "mixnet_xxl", "mxresnet_50", "nin", "regnet_z_500mf",
    }  # fmt: skip
    assert all(50 < one.top1 < 90 and one.source for one in known.values())
    # Weights that can be had come with their licence; these two's are published without one.
    weights = {name for name, one in known.items() if one.weights}
    assert {name for name in weights if not known[name].licence} <= {
        "res2net_50_26w_4s",
        "scarlet_a",
    }
    assert len(weights) >= 70


def test_descriptions_say_where_a_network_is_from():
    assert FOUND["googlenet"].description.startswith("GoogLeNet (Szegedy et al. 2015")
    assert all(reference.description for reference in FOUND.values())


def test_accuracies_tell_their_resolution_where_it_is_another():
    assert FOUND["mixnet_m"].accuracy_text == "77.3"
    assert FOUND["nin"].accuracy_text == ""
    other = replace(FOUND["mixnet_m"], spec=FOUND["mixnet_m"].spec.at(256))
    assert other.accuracy_text == "77.3 at 224"
