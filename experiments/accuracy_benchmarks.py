"""Sections of the page of benchmarks about accuracy: estimators, supernets, few images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from experiments.benchmark_lines import (
    all_recorded,
    mean_and_deviation,
    origin,
    paragraph,
    percent,
    recorded,
    rows,
    section,
)


def ranking() -> Iterator[str]:
    yield from section("Ranking", "How well estimators rank networks that were trained in full "
                        "(see [Ranking cards](concepts/ranking-cards.md)): Kendall's tau with its "
                        "95% interval, over all networks and among those of similar "
                        "MAdds. A supernet "
                        "is trained once besides, in five to eleven minutes here.")  # fmt: skip
    for file, title in (
        ("ranking", "60 networks of NAS-Bench-Macro, CIFAR-10 images"),
        ("ranking_mixnets", "Networks of `mixnet`, trained on CIFAR-10 images"),
    ):
        cards = list(recorded(file)["cards"].values())
        yield from paragraph(f"**{title}**")
        yield from rows(
            ("estimator", "networks", "tau", "MAdds within 5%", "MAdds within 10%",
             "seconds a network"),
            (_card(card) for card in cards),
        )  # fmt: skip
    yield from origin(recorded("ranking")["cards"]["supernet"],
                       recorded("ranking_mixnets")["cards"]["supernet"])  # fmt: skip


def _card(card: dict[str, Any]) -> tuple[Any, ...]:
    score = next(ranking for ranking in card["rankings"] if ranking["name"] == "score")
    return (f"`{card['estimator']}`", card["n"], _interval(score["tau"]), _interval(score["band"]),
            _interval(card.get("wider_band")), f"{card['seconds_per_network']:.1f}")  # fmt: skip


def _interval(figure: dict[str, float] | None) -> str:
    if figure is None or figure["value"] is None:
        return ""
    return f"{figure['value']:.2f} ({figure['low']:.2f} to {figure['high']:.2f})"


def supernet_settings() -> Iterator[str]:
    for result in all_recorded("supernet_settings").values():
        yield from section(
            "Settings of the supernet",
            "How well supernets with other settings rank the networks of both tables, and what "
            "preparing them costs on this machine: Kendall's tau over all networks with its 95% "
            "interval, and among pairs whose MAdds differ by less than "
            f"{percent(result['tolerance'], 0)}. Of several supernets that differ by the random "
            "seed, each has its tau. A score is the mean of the accuracy with shared weights and "
            "of those that NASWOT and, if the settings say so, a short training suggest; the last "
            "columns are the taus for other shares of these two.",
        )
        for table, title in (
            ("mixnet", "Networks of `mixnet`"),
            ("macro", "NAS-Bench-Macro"),
        ):
            found = [row for row in result["rows"] if row["table"] == table]
            if found:
                yield from paragraph(f"**{title}, {found[0]['supernets'][0]['n']} networks**")
                yield from rows(
                    (
                        "settings",
                        "core-minutes",
                        "seconds per network",
                        "tau",
                        "at similar MAdds",
                        *(f"{s['share']:.0%} others" for s in found[0]["supernets"][0]["shares"]),
                    ),
                    (_setting(row) for row in found),
                )
        yield from origin(result)


def _setting(row: dict[str, Any]) -> tuple[str, ...]:
    taus, bands = (
        "; ".join(_interval(each[of]) for each in row["supernets"]) for of in ("tau", "band")
    )
    by_share = zip(*(each["shares"] for each in row["supernets"]), strict=True)
    others = ("; ".join(f"{s['tau']['value']:.2f}" for s in same) for same in by_share)
    name = f"`{row['settings']}`" if row["settings"] else "the default"
    minutes = "" if row["core_seconds"] is None else f"{row['core_seconds'] / 60:.0f}"
    return (name, minutes, f"{row['seconds_per_network']:.1f}", taus, bands, *others)


def winners() -> Iterator[str]:
    for result in all_recorded("winners").values():
        took = "" if result["seconds"] is None else f" in {result['seconds'] / 60:.0f} minutes"
        took += " with the training of the supernet" if took and result["supernet_trained"] else ""
        fitting = f"{result['fitting_seconds'] / 60:.0f} minutes"
        yield from section(
            "Winners of many trials",
            f"A search of `mixnet` with {result['trials']:,} trials, by one command{took}, after a "
            f"latency predictor was fitted in {fitting}. The best network of each of some ranges "
            "of latency was chosen by the scores as estimated, and by what all scores suggest of a "
            "network (see [Beliefs](concepts/known-costs.md#beliefs)); these and random networks "
            f"were then trained with {result['images']:,} images and several seeds each. The table "
            "tells by how many percentage points the chosen ones were promised to be better than "
            "the random ones, and by how many they are, with the standard error over the ranges. "
            "The standard deviation of scores is "
            f"{100 * result['score_sd']:.2f} percentage points.",
        )
        yield from rows(
            ("chosen by", "promised", "kept"),
            (
                (
                    choice,
                    f"{100 * lead['promised']:+.2f}",
                    f"{100 * lead['kept']:+.2f} ± {100 * lead['kept_standard_error']:.2f}",
                )
                for choice, lead in result["leads"].items()
            ),
        )
        yield from paragraph("Accuracy of the networks on the test images:")
        yield from rows(
            ("latency", "chosen by", "score", "belief", "test accuracy"),
            (
                (
                    f"{row['from_ms']:.2f} to {row['to_ms']:.2f} ms",
                    row["chosen_by"],
                    percent(row["scores"]),
                    percent(row["beliefs"]),
                    mean_and_deviation(row["accuracies"]),
                )
                for row in result["rows"]
            ),
        )
        yield from origin(result)


def slices() -> Iterator[str]:
    for result in all_recorded("slice_training").values():
        exported = result["exported"]
        yield from section(
            "Weights of the supernet",
            "The best network of a search of `mixnet` on CIFAR-10, trained by one recipe from its "
            "slice of the supernet's weights, and from random ones (see "
            "[Weights of the supernet](guides/training.md#weights-of-the-supernet)): accuracy on "
            "the test images, with the standard deviation over the seeds. Zero epochs are the "
            "slice as it is exported. ONNX Runtime classifies "
            f"{exported['right_in_onnxruntime']:,} of {exported['validation_images']:,} validation "
            "images correctly with the exported file; in the search, "
            f"{exported['right_in_the_search']:,} were.",
        )
        yield from rows(
            ("epochs", "from the slice", "from random weights"),
            (
                (row["epochs"], *(mean_and_deviation(row[s]) if s in row else ""
                                  for s in ("slice", "random")))
                for row in result["rows"]
            ),
        )  # fmt: skip
        yield from origin(result)


def scoring() -> Iterator[str]:
    result = recorded("scoring")
    seconds = result["seconds"]
    yield from section(
        "Scoring",
        "Seconds that a supernet takes for the score of a network of `mixnet`, at "
        f"{result['resolution']} px with {result['threads']} thread, medians of "
        f"{len(result['networks'])} networks: {seconds['calibration']:.1f} for calibrating it on "
        f"{result['calibration_images']:,} images, and {seconds['lowered']:.1f} for evaluating it "
        f"on {result['validation_images']:,} in lowered form, which would take "
        f"{seconds['as trained']:.1f} in the form that was trained. Its zero-cost score takes "
        f"{seconds['zero-cost score']:.1f} more.",
    )
    yield from origin(result)


def few_images() -> Iterator[str]:
    result = recorded("few_images")
    own, classes = result["searched_on"], len(result["pretrained_on"])
    yield from section(
        "Few images",
        f"Two searches of `mixnet` on {result['images_per_class']} training images each of "
        f"{' and '.join(own)}, two of CIFAR-10's classes, at {result['resolution']} px: from "
        f"random weights, and from what networks share with a `{result['network']}` that was "
        f"trained on the other {classes} classes for {result['epochs']:g} epochs (see "
        "[Few images of your own](guides/accuracy.md#few-images-of-your-own)). Accuracy on all "
        "test images of the two classes, of the networks that were retrained at the end, with "
        "three seeds each.",
    )
    yield from rows(
        ("weights", "network", "test accuracy", "mean score of the trials"),
        (
            (start, f"`{name}`", mean_and_deviation(values), percent(result[start]["mean_score"]))
            for start in ("random", "pretrained")
            for name, values in result[start]["retrained"].items()
        ),
    )  # fmt: skip
    yield from origin(result)
