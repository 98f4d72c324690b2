import json

import pytest

from experiments.mixnet_table import networks
from experiments.mixnet_table.networks import (
    CLASSES,
    LEAST,
    MOST,
    even_order,
    planned,
    read_plan,
    references,
    spread,
)
from nas.cost import count
from nas.errors import MixnasError
from nas.space import load_space
from nas.spec import load_network

FACTS = {"training": "short", "fingerprint": {"images": 60, "data_fingerprint": "abc"}}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A space whose members between 200M and 400M multiply-adds are found quickly."""
    monkeypatch.setattr(networks, "LEAST", 200_000_000)


def slots(specs, number, least=200_000_000):
    return [int((count(spec).madds - least) / (MOST - least) * number) for spec in specs]


def test_there_is_a_network_in_every_slot_and_every_first_part_is_even():
    specs = spread(8, [], seed=0)
    assert slots(specs, 8) == [0, 4, 2, 6, 1, 5, 3, 7]
    assert [spec.name for spec in specs] == [f"mixnet-{slot:03}" for slot in slots(specs, 8)]
    space = load_space("mixnet").with_classes(CLASSES)
    assert all(space.contains(spec) for spec in specs)
    assert len({spec.digest() for spec in specs}) == 8


def test_the_seed_decides_what_is_drawn():
    first, again, other = (
        [spec.digest() for spec in spread(3, [], seed=seed)] for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_given_networks_take_the_slots_of_their_madds():
    space = load_space("mixnet").with_classes(CLASSES)
    given = [space.decode(space.encode_spec(load_network(name).replace(num_classes=CLASSES)))
             for name in ("mixnet_s", "mixnet_m")]  # fmt: skip
    outside = load_network("mixnet_l")
    assert count(outside).madds > MOST
    found = {spec.name: spec.digest() for spec in spread(4, [*given, outside], seed=0)}
    assert found["mixnet-000"] == given[0].digest()  # 238M
    assert found["mixnet-002"] == given[1].digest()  # 338M
    assert outside.digest() not in found.values()


def test_given_networks_that_are_alike_take_slots_nearby_or_are_left_out():
    taken = {}
    for number in range(7):
        slot = networks._free_slot(300_000_000, taken, 10)
        if slot is not None:
            taken[slot] = number
    assert sorted(taken) == [3, 4, 5, 6, 7]  # the slot of 300M is 5
    assert taken[5] == 0
    assert networks._free_slot(199_000_000, {}, 10) is None
    assert networks._free_slot(MOST, {}, 10) == 9


@pytest.mark.parametrize("number", [1, 2, 5, 8, 64, 100])
def test_the_order_visits_each_slot_once_and_evenly(number):
    order = even_order(number)
    assert sorted(order) == list(range(number))
    if number == 64:
        for part in (8, 16, 32):
            assert {slot * part // 64 for slot in order[:part]} == set(range(part))


def test_the_references_have_the_classes_of_the_data():
    found = references()
    assert [spec.name for spec in found] == [
        "mixnet_s", "mixnet_m", "mobilenet_v2", "efficientnet_b0"
    ]  # fmt: skip
    assert {spec.num_classes for spec in found} == {CLASSES}
    assert all(LEAST <= count(spec).madds <= MOST for spec in found)


def test_a_folder_keeps_its_networks(tmp_path):
    folder = tmp_path / "table"
    made = references()
    assert planned(folder, FACTS, lambda: made) == made
    plan = read_plan(folder)
    assert plan["training"] == "short"
    assert plan["networks"] == [spec.name for spec in made]
    assert planned(folder, FACTS, lambda: pytest.fail("they are there")) == made


def test_a_folder_left_by_a_process_that_was_killed_before_the_plan_is_used(tmp_path):
    folder = tmp_path / "table"
    made = references()
    planned(folder, FACTS, lambda: made)
    (folder / "plan.json").unlink()
    assert planned(folder, FACTS, lambda: made) == made


def test_a_folder_with_other_trainings_or_other_things_is_refused(tmp_path):
    folder = tmp_path / "table"
    planned(folder, FACTS, references)
    other = {**FACTS, "fingerprint": {"images": 90, "data_fingerprint": "abc"}}
    with pytest.raises(MixnasError, match=r"images was 60, and is 90 now\); choose another --out"):
        planned(folder, other, references)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("")
    with pytest.raises(MixnasError, match="already exists; choose another --out"):
        planned(tmp_path / "notes", FACTS, references)
    (folder / "plan.json").write_text("{")
    with pytest.raises(MixnasError, match=r"plan\.json cannot be read"):
        planned(folder, FACTS, references)
    (folder / "plan.json").write_text(json.dumps({"networks": 3}))
    with pytest.raises(MixnasError, match="names no networks"):
        planned(folder, FACTS, references)
