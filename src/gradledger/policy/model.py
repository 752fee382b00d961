"""The fields of a policy document; the published JSON Schema is made from these classes.

Only shapes and types are said here. What fields say about one another (names that must exist,
assignments that must not conflict, predicates) is checked where it is used, with places.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

FORMAT: Final = "gradledger.policy/1"
#: Most characters of a predicate.
MAX_PREDICATE_CHARACTERS: Final = 4096
#: No profile may amplify more than this, whatever it declares as its own maximum.
MAX_WEIGHT: Final = 10.0

Name = Annotated[StrictStr, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=64)]
Label = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:/-]*$", max_length=128)]
Prose = Annotated[StrictStr, Field(max_length=2000)]
PredicateText = Annotated[
    StrictStr,
    Field(
        min_length=1,
        max_length=MAX_PREDICATE_CHARACTERS,
        description="SQL predicate over the declared attributes.",
    ),
]
Number = StrictInt | StrictFloat
Finite = Annotated[Number, Field(allow_inf_nan=False)]
Scalar = StrictBool | StrictInt | Annotated[StrictFloat, Field(allow_inf_nan=False)] | StrictStr
Labels = Label | Annotated[list[Label], Field(min_length=1)]


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AttributeSpec(_Fields):
    """A typed attribute of an example, which predicates may name."""

    type: Literal["string", "int", "float", "bool", "timestamp", "spdx"] = Field(
        description="Type of its values; 'spdx' is the text of a licence expression."
    )
    description: Prose = ""
    personal: StrictBool = Field(default=False, description="Whether its values are personal data.")


class RuleSpec(_Fields):
    """What one predicate does to admission."""

    id: Label
    effect: Literal["deny", "quarantine", "defer", "admit"]
    when: PredicateText
    message: Prose = Field("", description="Why, in words for the reader of a decision.")
    cites: tuple[Prose, ...] = Field((), description="Contracts, laws, pages it rests on.")


class ClassSpec(_Fields):
    """A content class: the first one whose predicate holds labels the example."""

    id: Label
    when: PredicateText
    description: Prose = ""


class BandsSpec(_Fields):
    """A declared measure, cut into named ranges; each edge belongs to the range above it."""

    attribute: Name
    edges: tuple[Finite, ...] = Field(min_length=1, max_length=64)
    names: tuple[Label, ...] = Field(min_length=2, max_length=65)
    description: Prose = ""


class WeightSpec(_Fields):
    """The weight of some blocks."""

    blocks: Annotated[StrictStr, Field(min_length=1, max_length=512)] = Field(
        description="A block, a pattern such as 'model.layers.*', or 'model.layers[0:3]'."
    )
    weight: Number


class ProfileSpec(_Fields):
    """A depth profile: how much of an example's gradient each block receives."""

    default: Number = Field(description="Weight of every block that no selector names.")
    weights: tuple[WeightSpec, ...] = Field((), max_length=1024)
    max: Number = Field(1, description=f"Largest weight it may use, at most {MAX_WEIGHT:g}.")
    description: Prose = ""


class AssignRow(_Fields):
    """A profile for a class, a band, or the two together."""

    content_class: Labels | None = Field(None, alias="class")
    band: Labels | None = None
    profile: Label


class AssignSpec(_Fields):
    """Which profile an admitted example gets."""

    default: Label = "full"
    by: tuple[AssignRow, ...] = Field((), max_length=1024)


class PolicySpec(_Fields):
    """An admission policy: who may train the model, as what, and how deep."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Gradledger admission policy")

    format: Literal["gradledger.policy/1"]
    policy: Label = Field(description="Identifier of the policy, the same in all versions.")
    version: Annotated[StrictStr, Field(min_length=1, max_length=64)]
    description: Prose = ""
    attributes: dict[Name, AttributeSpec] = Field({}, max_length=256)
    params: dict[Name, Scalar | Annotated[list[Scalar], Field(max_length=8192)]] = Field(
        {}, description="Constants and lists that predicates name as :name."
    )
    rules: tuple[RuleSpec, ...] = Field(min_length=1, max_length=256)
    classes: tuple[ClassSpec, ...] = Field((), max_length=256)
    bands: BandsSpec | None = None
    profiles: dict[Label, ProfileSpec] = Field({}, max_length=256)
    assign: AssignSpec = AssignSpec(by=())


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a policy document."""
    schema = PolicySpec.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
