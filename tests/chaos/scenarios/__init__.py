"""The scenarios: a function each, which fires a fault and checks what must hold meanwhile."""

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable


class Skipped(Exception):
    """The scenario cannot be played here; the text says why."""


@dataclasses.dataclass(frozen=True)
class Scenario:
    number: int  # of the fault; variants of one fault share it
    name: str
    summary: str
    play: Callable
    stands_for: str  # the class of faults that it represents in a short run, or nothing
    alone: bool  # it keeps the processors busy, or depends on them; nothing is played beside it


REGISTRY: dict[str, Scenario] = {}


def scenario(number: int, name: str, stands_for: str = "", alone: bool = False):
    """Registers a function(run) under a name; its docstring is the summary. The rest: see Scenario."""

    def register(play: Callable) -> Callable:
        REGISTRY[name] = Scenario(number, name, " ".join(play.__doc__.split()), play, stands_for, alone)
        return play

    return register


def all_scenarios() -> list[Scenario]:
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return sorted(REGISTRY.values(), key=lambda item: (item.number, item.name))
