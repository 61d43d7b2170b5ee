"""Bodies of requests and answers; OpenAPI is made from them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StringConstraints

from cigf.data.tasks import Group

LONGEST_ID = 256
_LAST_TIME = 253_402_300_799_999  # the end of the year 9999

Text = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_ID, strict=True)]
Id = Annotated[
    Text | Annotated[StrictInt, Field(ge=-(2**63), lt=2**63)],
    Field(description="An id as in the log: a text, or an integer of 64 bits."),
]


class Body(BaseModel):
    """Base of bodies: closed to unknown fields."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class SessionEvent(Body):
    """Something that a user just did."""

    item_id: Id
    behavior: Text
    """One of the model's behaviors."""


class PostedEvent(SessionEvent):
    """Something that a user did."""

    user_id: Id
    timestamp: Annotated[StrictInt, Field(ge=0, le=_LAST_TIME)] | None = None
    """Milliseconds since 1970-01-01 UTC; default: now."""


class EventsBody(Body):
    """Events to keep."""

    events: Annotated[list[PostedEvent], Field(min_length=1)]
    """They are kept all or none."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"events": [{"user_id": "u0017", "item_id": "books-27", "behavior": "view"}]}
            ]
        }
    )


class ListBody(Body):
    """Whose lists, and what they should be."""

    users: Annotated[list[Id], Field(min_length=1)] | None = None
    """Ids of users; those of whom nothing is known get what is popular."""
    events: Annotated[list[SessionEvent], Field(min_length=1)] | None = None
    """What one user just did, in this request only; she need not be known nor named."""
    k: Annotated[StrictInt, Field(ge=1)] = 10
    """Length of each list."""
    only: Group = "all"
    """touched: items the user has touched, but not under the behavior to predict; new: others."""
    behavior: Text | None = None
    """What to predict; default: the target."""
    exclude: list[Text] | None = None
    """Leave out items the user has under these behaviors; default: the one to predict."""
    allow: Annotated[list[Id], Field(min_length=1)] | None = None
    """Items that may be recommended; default: all."""
    deny: list[Id] | None = None
    """Items that may not."""
    scores: list[Text] | None = None
    """Behaviors whose scores of the listed items are added."""
    model: Text | None = None
    """Name of a model; default: the first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"users": ["u0017", "u0044"], "k": 5, "only": "new"},
                {"events": [{"item_id": "books-27", "behavior": "view"}], "k": 5},
            ]
        }
    )


class ItemAnswer(BaseModel):
    """An item of a list."""

    item_id: Any
    score: float
    rank: int
    scores: dict[str, float] = Field(default={}, description="By behavior, where asked for.")


class ListAnswer(BaseModel):
    """A user's list."""

    user_id: Any
    fallback: bool
    """True: nothing is known of the user, so she gets what is popular."""
    folded: bool
    """True: what she did since training was used, also to represent her if the model can."""
    items: list[ItemAnswer]

    model_config = ConfigDict(use_attribute_docstrings=True)


class OneListAnswer(ListAnswer):
    """A user's list, and the model it comes from."""

    model: str
    version: str


class ListsAnswer(BaseModel):
    """Lists in the order of the users."""

    model: str
    version: str
    lists: list[ListAnswer]


class SimilarAnswer(BaseModel):
    """Nearest items, by cosine."""

    model: str
    version: str
    item_id: Any
    items: list[ItemAnswer]


class PathAnswer(BaseModel):
    """From something that the user did to the item."""

    behavior: str
    item_id: Any
    through: str | None
    """By which behavior others lead from there to the item."""
    n_others: int
    share: float
    """Of the score."""
    text: str

    model_config = ConfigDict(use_attribute_docstrings=True)


class WhyAnswer(BaseModel):
    """Why a user gets an item: the shares of its score."""

    model: str
    version: str
    user_id: Any
    item_id: Any
    behavior: str
    score: float
    paths: list[PathAnswer]
    """The events with the largest shares."""
    layers: list[dict[str, Any]]
    """Shares by layer; 0 is the user's own embedding. They add up to the score."""
    experts: list[dict[str, Any]]
    """The gate's weights and shares by expert; empty without a gate."""
    relations: list[dict[str, Any]]
    """Relations by their weight for this user, beside the average user's."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class EventsAnswer(BaseModel):
    """Events that are safe."""

    accepted: int


class ModelAnswer(BaseModel):
    """A loaded model."""

    name: str
    version: str
    kind: str
    behaviors: list[str]
    users: int
    items: int


class ModelsAnswer(BaseModel):
    """The loaded models, the default first."""

    models: list[ModelAnswer]


class HealthAnswer(BaseModel):
    """The server's state."""

    status: Literal["ok"]


class ErrorDetail(BaseModel):
    """What is wrong, and what to do."""

    code: str
    message: str


class ErrorAnswer(BaseModel):
    """Every refusal."""

    error: ErrorDetail
