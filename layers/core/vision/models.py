"""The models: which there are, and one loaded session a model and process.

Cards are read first; labels and graphs when a model is first used. A model that cannot be served fails
with an error that names the file and the field, when it is used and not before: one broken model does not
take the others with it.

NumPy, ONNX Runtime and the decoders take 170 ms of a cold start and 60 MB. They are imported when a model is
loaded: a function that only lists models needs none of them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from vision.card import ModelCard, Task
from vision.errors import InvalidModel, InvalidParameter, InvalidSettings, NotFound
from vision.frozen import dataclass
from vision.sources import Cards, ModelSource
from vision.weights import check_references, prove

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vision.runner import Runner


@dataclass(frozen=True, slots=True)
class Model:
    """A model ready to run.

    Attributes:
        card: its facts.
        labels: by class id.
        runner: its session.
    """

    card: ModelCard
    labels: tuple[str, ...]
    runner: Runner

    def class_ids(self, names: tuple[str, ...]) -> NDArray[np.int64] | None:
        """The class ids of labels; `None` for no names. One of a label's comma-separated names is enough.

        Raises:
            InvalidParameter: when the model has no such label.
        """
        import numpy as np  # noqa: PLC0415

        if not names:
            return None
        ids: set[int] = set()
        known = _ids_by_name(self.labels)
        for name in names:
            found = known.get(name.casefold())
            if not found:
                raise InvalidParameter(
                    f"labels: {self.card.id} has no label {name!r:.60}; "
                    f"GET /v1/models/{self.card.id} lists them",
                    parameter="labels",
                )
            ids.update(found)
        return np.array(sorted(ids), np.int64)


class Models:
    """The models that lie somewhere.

    Args:
        source: where; read when a model is first asked for.
        preferred: id of the model that is its task's default whatever the cards say; may be empty.
        load: folder and card -> runner.
    """

    def __init__(
        self, source: ModelSource, preferred: str, load: Callable[[Path, ModelCard], Runner]
    ) -> None:
        self._source = source
        self._preferred = preferred
        self._load = load
        self._loaded: dict[str, Model] = {}
        self._labels: dict[str, tuple[str, ...]] = {}

    def read_cards(self) -> None:
        """Reads the cards now, not when a model is first asked for; raises what `cards` does."""
        _ = self.cards

    @cached_property
    def cards(self) -> Mapping[str, ModelCard]:
        """The cards of the models that can be served, by id.

        Raises:
            InvalidSettings: when the place cannot be read, or the preferred model is not there.
            Unavailable: when it does not answer; the next use tries again.
        """
        cards = {name: card for name, card in self._found.items() if isinstance(card, ModelCard)}
        if self._preferred and self._preferred not in cards:
            raise InvalidSettings(
                f"VISION_MODEL={self._preferred!r}: there is no such model in {self._source}"
            )
        return cards

    @property
    def broken(self) -> Mapping[str, InvalidModel]:
        """What is wrong with the models that cannot be served, by the folder's name."""
        return {name: card for name, card in self._found.items() if isinstance(card, InvalidModel)}

    @cached_property
    def _found(self) -> Cards:
        return {name: _of_folder(name, card) for name, card in sorted(self._source.cards().items())}

    def card(self, model_id: str) -> ModelCard:
        """The card of a model.

        Raises:
            NotFound: when there is none of that id.
            InvalidModel: when there is one, but its card is wrong.
        """
        if model_id in self.broken:
            raise self.broken[model_id]
        if model_id not in self.cards:
            known = ", ".join(self.cards) or "none"
            raise NotFound(f"no model {model_id!r:.60}; there are: {known}", parameter="model")
        return self.cards[model_id]

    def choose(self, task: Task, model_id: str | None) -> ModelCard:
        """The card to use: the one asked for, else the task's default.

        That is the preferred model, else the one whose card says `default`, else any that is no `fallback`,
        else a fallback; of several the first by id. scripts/layer_build/models.py has the same rule.

        Raises:
            NotFound: when there is no such model of that task, or none at all.
        """
        if model_id is not None:
            card = self.card(model_id)
            if card.task != task:
                raise NotFound(f"the model {card.id!r} is for {card.task}, not {task}", parameter="model")
            return card
        cards = [card for card in self.cards.values() if card.task == task]
        if not cards:
            raise NotFound(
                f"there is no model for {task} in VISION_MODELS; `make models` fetches the default ones"
            )
        return max(cards, key=lambda card: (card.id == self._preferred, card.default, not card.fallback))

    def labels(self, card: ModelCard) -> tuple[str, ...]:
        """The labels of a model, by class id."""
        if card.id not in self._labels:
            self._labels[card.id] = self._source.labels(card)
        return self._labels[card.id]

    def get(self, card: ModelCard, *, seconds: float = math.inf) -> Model:
        """The model of a card, loaded on its first use.

        Args:
            card: of the model.
            seconds: how long its files may take to come from elsewhere.

        Raises:
            InvalidModel: when its files do not agree with its card.
            Unavailable: when they have not come; another attempt goes on from there.
        """
        if card.id not in self._loaded:
            labels = self.labels(card)
            with self._source.files(card, time.monotonic() + seconds) as folder:
                model = Model(card, labels, self._load(folder, card))
            check(model)
            self._loaded[card.id] = model
        return self._loaded[card.id]


def load_runner(folder: Path, card: ModelCard, num_threads: int) -> Runner:
    """Gives a session for the files of a card, held against its hashes first.

    Raises:
        InvalidModel: when a file is missing, not the one the card was written for, or no graph.
    """
    prove(folder, card)
    return open_runner(folder, card, num_threads)


def open_runner(folder: Path, card: ModelCard, num_threads: int) -> Runner:
    """Gives a session for the files of a card, whose hashes are known to be right.

    Raises:
        InvalidModel: when the graph reads a file that the card does not name, or is no graph.
    """
    from vision.runner import OnnxRunner  # noqa: PLC0415

    check_references(folder, card)
    return OnnxRunner(folder / card.file, num_threads, card.output.features)


def check(model: Model) -> None:
    """Holds a model's card against its graph and its labels.

    Raises:
        InvalidModel: naming the field of the card that does not fit.
    """
    from vision import checks  # noqa: PLC0415

    checks.check(model.card, model.labels, model.runner)


def _of_folder(name: str, card: ModelCard | InvalidModel) -> ModelCard | InvalidModel:
    if isinstance(card, ModelCard) and card.id != name:
        return InvalidModel(f"{name}/card.json: id: {card.id!r} is not the folder's name")
    return card


@cache
def _ids_by_name(labels: tuple[str, ...]) -> Mapping[str, frozenset[int]]:
    """Class ids by each name a label goes by, casefolded; made once, for a request may ask for 1000 names."""
    ids: dict[str, frozenset[int]] = {}
    for class_id, label in enumerate(labels):
        for name in (label, *(part.strip() for part in label.split(","))):
            key = name.casefold()
            ids[key] = ids.get(key, frozenset()) | {class_id}
    return ids
