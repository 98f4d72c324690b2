"""Sections of the page of benchmarks about accuracy: estimators, supernets, few images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from experiments.benchmark_lines import mean_and_deviation, origin, percent, recorded, rows, section


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
        yield f"**{title}**"
        yield ""
        yield from rows(
            ("estimator", "networks", "tau", "at similar MAdds", "seconds a network"),
            (_card(card) for card in cards),
        )
    yield from origin(recorded("ranking")["cards"]["supernet"],
                       recorded("ranking_mixnets")["cards"]["supernet"])  # fmt: skip


def _card(card: dict[str, Any]) -> tuple[Any, ...]:
    score = next(ranking for ranking in card["rankings"] if ranking["name"] == "score")
    return (f"`{card['estimator']}`", card["n"], _interval(score["tau"]), _interval(score["band"]),
            f"{card['seconds_per_network']:.1f}")  # fmt: skip


def _interval(figure: dict[str, float] | None) -> str:
    if figure is None or figure["value"] is None:
        return ""
    return f"{figure['value']:.2f} ({figure['low']:.2f} to {figure['high']:.2f})"


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
        f"{seconds['as trained']:.1f} in the form that was trained.",
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
