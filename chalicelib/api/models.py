"""Models, their cards and aliases over HTTP."""

from chalice.app import Blueprint

from chalicelib.api.http import PAGED, Call, endpoint
from chalicelib.registry import aliases, labels, models
from chalicelib.wiring import stores
from weighbridge.contract.types import (
    AliasHistory,
    AliasMove,
    AliasTarget,
    Card,
    Deleted,
    Model,
    ModelChanges,
    ModelPage,
    NewModel,
)

routes = Blueprint(__name__)
BASE = "/api/projects/{project}/models"
ONE = BASE + "/{model}"
ALIAS = ONE + "/aliases/{alias}"


@endpoint(routes, "GET", BASE, "read", answers=ModelPage, query=("prefix", *PAGED), tagged=True)
def listing(call: Call) -> ModelPage:
    """Models of a project by name, with their aliases."""
    return models.listing(
        stores(), call.project, prefix=call.one("prefix"), limit=call.limit, page=call.page
    )


@endpoint(routes, "POST", BASE, None, body=NewModel, answers=Model, status=201)
def create(call: Call) -> Model:
    """Creates a model."""
    call.who.require("write", call.project, call.body.name)
    return models.create(stores(), call.by, call.project, call.body)


@endpoint(routes, "GET", ONE, "read", answers=Model)
def show(call: Call) -> Model:
    """One model with its aliases."""
    found = models.find(stores(), call.project, call.model).model
    return labels.with_greatest(stores(), [found])[0]


@endpoint(routes, "PATCH", ONE, "write", body=ModelChanges, answers=Model)
def change(call: Call) -> Model:
    """Changes a model's description, tags or settings."""
    if call.body.settings is not None:  # protection is the release owner's, not the trainer's
        call.who.require("approve", call.project, call.model)
    return models.change(stores(), call.by, call.project, call.model, call.body)


@endpoint(routes, "DELETE", ONE, "delete", answers=Deleted)
def delete(call: Call) -> Deleted:
    """Deletes a model that has no versions."""
    return models.delete(stores(), call.by, call.project, call.model)


@endpoint(routes, "GET", ONE + "/card", "read", answers=Card)
def card(call: Call) -> Card:
    """The model's card."""
    return models.card(stores(), models.find(stores(), call.project, call.model))


@endpoint(routes, "PUT", ONE + "/card", "write", body=Card, answers=Card)
def set_card(call: Call) -> Card:
    """Replaces the model's card."""
    return models.set_card(stores(), call.by, call.project, call.model, call.body)


@endpoint(routes, "GET", ALIAS, "read", answers=AliasMove)
def alias(call: Call) -> AliasMove:
    """Where an alias points."""
    return aliases.current(stores(), call.project, call.model, call.path["alias"])


@endpoint(routes, "PUT", ALIAS, "alias", body=AliasTarget, answers=AliasMove)
def move_alias(call: Call) -> AliasMove:
    """Points an alias to a version."""
    return aliases.move(stores(), call.by, call.project, call.model, call.path["alias"], call.body)


@endpoint(routes, "DELETE", ALIAS, "alias", answers=AliasMove)
def remove_alias(call: Call) -> AliasMove:
    """Removes an alias; its history stays."""
    return aliases.remove(stores(), call.by, call.project, call.model, call.path["alias"])


@endpoint(routes, "GET", ALIAS + "/history", "read", answers=AliasHistory, query=("at", *PAGED))
def alias_history(call: Call) -> AliasHistory:
    """The moves of an alias, newest first; with `at`, the one in force then."""
    return aliases.history(
        stores(), call.project, call.model, call.path["alias"], at=call.one("at"),
        limit=call.limit, page=call.page,
    )  # fmt: skip
