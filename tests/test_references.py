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
    assert FOUND["nin"].published is None
    assert all(r.published.source for r in FOUND.values() if r.published is not None)


def test_descriptions_say_where_a_network_is_from():
    assert FOUND["googlenet"].description.startswith("GoogLeNet (Szegedy et al. 2015")
    assert all(reference.description for reference in FOUND.values())


def test_accuracies_tell_their_resolution_where_it_is_another():
    assert FOUND["mixnet_m"].accuracy_text == "77.3"
    assert FOUND["nin"].accuracy_text == ""
    other = replace(FOUND["mixnet_m"], spec=FOUND["mixnet_m"].spec.at(256))
    assert other.accuracy_text == "77.3 at 224"
