"""History: the numbers of a training, epoch by epoch."""

from __future__ import annotations

from typing import Any


class History(dict[str, list[Any]]):
    """What `nn.fit` returns: a dict of lists, with one entry for each epoch.

    "loss" and the metrics by their names, over the training batches as the epoch went; "val_loss" and so on, over the
    validation batches after it; "lr", the learning rate with which it ended (for several parameter groups: a list);
    "seconds", how long its training batches took. A metric that gives a tensor is there as nested lists: a history is
    plain values, and ``json.dumps(history)`` works.

    stopped: why there were no more epochs: "" (all are done), "interrupted", or the name of the callback."""

    stopped = ""

    def add(self, results: dict[str, Any]) -> None:
        """Enter the numbers of one more epoch."""
        for name, value in results.items():
            self.setdefault(name, []).append(value.tolist() if hasattr(value, "tolist") else value)

    def plot(self, path: Any = None) -> Any:
        """Draw the curves by matplotlib, those of training and validation together, and return the figure.

        path: the file to write the picture to, of the format that its ending names. Raises ImportError without
        matplotlib. The times are left out, and what is not a number, such as a confusion matrix."""
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError("History.plot needs matplotlib: pip install matplotlib") from error
        curves = {name: values for name, values in self.items() if name == "lr" or _is_numbers(values)}
        curves.pop("seconds", None)
        panels = list(dict.fromkeys(name.removeprefix("val_") for name in curves))
        figure, grid = plt.subplots(
            1, max(1, len(panels)), figsize=(4 * max(1, len(panels)), 3), squeeze=False, layout="constrained"
        )
        for panel, axes in zip(panels, grid[0]):
            for name, label in ((panel, "training"), (f"val_{panel}", "validation")):
                if name in curves:
                    axes.plot(range(1, len(curves[name]) + 1), curves[name], marker=".", label=label)
            axes.set(title=panel, xlabel="epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
            if f"val_{panel}" in curves:
                axes.legend()
        if path is not None:
            figure.savefig(path)
        return figure


def _is_numbers(values: list[Any]) -> bool:
    return all([isinstance(value, (int, float)) for value in values])
