from experiments.benchmark_lines import all_recorded, origin, percent, recorded, rows, section


def test_results_are_found_by_name():
    found = all_recorded("lowering_litert_*")
    assert found
    assert all(found[name] == recorded(name) for name in found)
    assert list(found) == sorted(found)


def test_a_section_has_a_title_a_text_a_table_and_an_origin():
    assert section("Time", "How long.") == ("## Time", "", "How long.", "")
    lines = list(rows(("network", "ms"), [("a", 1), ("b", 2.5)]))
    assert [line.replace(" ", "") for line in lines] == [
        "|network|ms|",
        "|--|--|",
        "|a|1|",
        "|b|2.5|",
        "",
    ]
    result = {"command": "python -m one; and more", "when": "2026-11-29T01:02", "cores": 2}
    plain = {**result, "machine": "AMD EPYC"}
    gpu = {**result, "machine": {"gpu": "H200", "processor": "EPYC"}}
    (told, _) = origin(plain, plain, gpu)
    assert told == (
        "Measured by `python -m one` (AMD EPYC, 2 cores, 2026-11-29); "
        "`python -m one` (H200, 2026-11-29)."
    )


def test_shares_are_in_percent():
    assert (percent(0.1234), percent(0.985, 0)) == ("12.3%", "98%")
