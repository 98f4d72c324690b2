"""`analysis` imports nothing of `nas`, so the names that both use are compared here."""

from analysis import schema
from analysis.read.runs import OBJECTIVES, REQUIRED_COLUMNS
from nas.objective import Objective
from nas.search.retraining import CONFIRMED_COLUMNS
from nas.space import load_space
from nas.space.rows import VARIABLE_PREFIX
from nas.study.table import trial_table


def test_the_columns_are_those_that_a_search_writes():
    space = load_space("mixnet")
    columns = list(trial_table([], space, Objective("pareto"), {}))
    required = {"number", schema.ARCHITECTURE, *REQUIRED_COLUMNS, *OBJECTIVES}
    assert required - set(columns) == set()
    assert len([name for name in columns if name.startswith(schema.VARIABLE)]) == len(
        space.variables
    )
    assert schema.VARIABLE == VARIABLE_PREFIX
    assert set(schema.RETRAINING_COLUMNS) <= set(CONFIRMED_COLUMNS)


def test_no_column_of_a_search_holds_errors():
    columns = list(trial_table([], load_space("mixnet"), Objective("pareto"), {}))
    assert schema.ERRORS not in columns
    assert not schema.ERRORS.isidentifier()
