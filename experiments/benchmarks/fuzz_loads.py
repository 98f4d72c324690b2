"""Read one file or data set as the commands do, and no more: for `experiments.benchmarks.fuzz`."""

from __future__ import annotations

from pathlib import Path

import typer

from nas import cli

app = cli.new_app()


@app.command()
def main(what: str, path: str) -> None:
    if what == "recipe":
        from nas.train.recipe import load_recipe

        print(load_recipe(path))
    elif what == "table":
        from nas.accuracy.table import read_networks

        print(len(read_networks(Path(path))))
    elif what == "data":
        from nas.data import PARTS, load_data

        data = load_data(path).at(16)
        print({part: data.count(part) for part in PARTS}, data.remarks())
    else:
        raise typer.BadParameter(f"{what} is not known")


if __name__ == "__main__":
    cli.run(app)
