from nas.space import INACTIVE, load_space, space_from_yaml

SPACE = space_from_yaml(
    """
    stem: {channels: {choice: [4, 8]}}
    head: {channels: {choice: [0, 16]}, activation: {choice: [relu, mish]}}
    stages:
      a: {depth: {choice: [1, 2]}, channels: 8, skip: {choice: [true, false]},
          kernels: {choice: [3, 5]}, dilated: {choice: [true, false]}}
      b: {channels: 16, stride: 2, project_groups: {choice: [1, 2]}, expansion: 1,
          first: {expand_groups: {choice: [1, 8]}, se_ratio: {choice: [0, 0.25, 0.26]}}}
    """
)


def names(positions):
    return {SPACE.variables[i].name for i in positions}


def canonical(**values):
    labels = {"stem.channels": 8, "head.channels": 16, "head.activation": "relu", "a.depth": 1,
              "a.skip": True, "a.kernels": "3", "a.dilated": True, "b.project_groups": 1,
              "b.first.expand_groups": 1, "b.first.se_ratio": 0}  # fmt: skip
    given = labels | {name.replace("__", "."): value for name, value in values.items()}
    return SPACE.to_params(SPACE.from_params(given))


def test_only_variables_that_may_lack_effect_are_looked_at():
    assert names(SPACE.effects.equal) == {
        "head.activation",
        "a.skip",
        "a.dilated",
        "b.first.expand_groups",
        "b.first.se_ratio",
    }
    assert load_space("mixnet").effects.equal == ()
    assert load_space("mixnet").effects.risky == []


def test_what_has_no_effect_is_inactive():
    assert canonical()["a.skip"] is True
    assert canonical(stem__channels=4)["a.skip"] is None
    assert canonical(stem__channels=4, a__depth=2)["a.skip"] is True
    assert canonical()["a.dilated"] is None
    assert canonical(a__kernels="5", a__dilated=False)["a.dilated"] is False
    assert canonical(head__channels=0)["head.activation"] is None
    assert canonical()["b.first.expand_groups"] is None


def test_equal_values_are_the_first_of_them():
    assert canonical(b__first__se_ratio=0.26)["b.first.se_ratio"] == 0.25
    assert canonical(b__first__se_ratio=0)["b.first.se_ratio"] == 0


def test_the_scope_holds_all_that_decides():
    scope = SPACE.effects.scope(SPACE.index("a.skip"))
    assert names(scope) == {"a.skip", "a.depth", "stem.channels"}


def test_misfits_are_told():
    text = "{stem: {channels: 8}, stages: {a: {channels: {choice: [4, 8]}, project_groups: 8}}}"
    space = space_from_yaml(text)
    assert space.effects.misfits((1,)) == []
    reason = "stage a: 4 channels cannot be split over 8 groups (equal)"
    assert space.effects.misfits((0,)) == space.broken((0,)) == [reason]


def test_settling_leaves_what_is_canonical():
    genotype = [0] * len(SPACE.variables)
    SPACE.effects.settle(genotype)
    again = list(genotype)
    assert not SPACE.effects.settle(again)
    assert again == genotype
    assert INACTIVE in genotype


def test_fields_of_the_head_lack_effect_where_no_layer_has_them():
    def equal(head):
        space = space_from_yaml(
            f"{{stem: {{channels: 8}}, stages: {{a: {{channels: 8}}}}, {head}}}"
        )
        return {space.variables[i].name for i in space.effects.equal}

    functions = "activation: {choice: [relu, mish]}"
    assert equal(f"head: {{{functions}}}") == set()
    assert equal(f"head: {{channels: 0, {functions}}}") == {"head.activation"}
    assert equal(f"head: {{channels: 0, hidden: [8], {functions}}}") == set()
    assert equal(
        "head: {channels: {choice: [8, 16]}, pool: {choice: [average, none]}, norm: {choice: "
        "[batch, none]}, classifier: {choice: [linear, conv]}}"
    ) == {"head.pool"}
    space = space_from_yaml(
        "{stem: {channels: 8}, stages: {a: {channels: 8}}, head: {channels: {choice: [0, 8]},"
        f" classifier: {{choice: [linear, conv]}}, {functions}}}}}"
    )
    active = {}
    for channels in (0, 8):
        for classifier in ("linear", "conv"):
            params = {"head.channels": channels, "head.classifier": classifier}
            genotype = space.from_params({**params, "head.activation": "mish"})
            active[channels, classifier] = space.to_params(genotype)["head.activation"]
    assert active == {(0, "linear"): None, (0, "conv"): "mish", (8, "linear"): "mish",
                      (8, "conv"): "mish"}  # fmt: skip
    digests = {space.decode(g).digest() for g in map(space.canonical, ALL_OF_EIGHT)}
    assert len(digests) == len(set(map(space.canonical, ALL_OF_EIGHT))) == 7


ALL_OF_EIGHT = [(i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1)]
