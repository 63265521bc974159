"""How configurations are judged: how often each is trained, how the winner is confirmed, on what it is trained last."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from hptune.spec.section import Section


class ConfirmSpec(Section):
    """How many candidates are trained again, and how often."""

    top: Annotated[int, Field(ge=1, le=100)] = Field(default=5, description="candidates, the best of the search")
    seeds: Annotated[int, Field(ge=2, le=100)] = Field(default=5, description="fresh seeds for each of them")


def _form(value: Any) -> str:
    return "numbers" if isinstance(value, dict | ConfirmSpec) else "word"


class EvaluationSpec(Section):
    """How configurations are judged."""

    folds: Annotated[int, Field(ge=2, le=100)] | None = Field(
        default=None, description="folds on each of which every configuration is trained; else one split"
    )
    repeats: Annotated[int, Field(ge=1, le=100)] = Field(
        default=1, description="fresh seeds with which every configuration is trained"
    )
    confirm: Annotated[
        Annotated[Literal["auto", False], Tag("word")] | Annotated[ConfirmSpec, Tag("numbers")], Discriminator(_form)
    ] = Field(
        default="auto",
        description="train the best candidates again with fresh seeds; auto does where it costs under a tenth of the "
        "search, false never",
    )
    refit: bool = Field(
        default=False, description="train the winner again on training and validation rows for its best epochs"
    )
