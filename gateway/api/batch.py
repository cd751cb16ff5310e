"""Many commands in one request: each has its own key and its own outcome, told in their order."""

from __future__ import annotations

from typing import Any, ClassVar

from flask import Response
from marshmallow import RAISE, Schema, ValidationError, fields, validate

from gateway.api import fields as f
from gateway.api.section import (
    DOORS,
    Door,
    Section,
    check_stores,
    client,
    keyed,
    rest,
    rest_key,
    tell,
)
from gateway.errors import Refused, as_refused, language, problem, scale_of, unfit
from processing.commands import Command
from processing.errors import LoyaltyError
from processing.execute import MAX_BATCH, Outcome

section = Section("batch", "Many commands in one request")

MAX_IDEMPOTENCY_KEY = 255


class BatchItemSchema(Schema):
    class Meta:
        unknown = RAISE

    command = fields.String(required=True, metadata={"description": "name of the command", "examples": ["TopUp"]})
    idempotency_key = f.text(
        MAX_IDEMPOTENCY_KEY,
        pattern=r"[\x20-\x7e]*",
        words="printable ASCII",
        describe="as the header Idempotency-Key; needed unless the body has keys",
        example="top-up-17",
    )
    body = fields.Dict(required=True, metadata={"description": "as at the command's own path"})


class BatchSchema(Schema):
    class Meta:
        unknown = RAISE

    commands = fields.List(fields.Nested(BatchItemSchema), required=True, validate=validate.Length(1, MAX_BATCH))
    example: ClassVar[dict[str, Any]] = {
        "commands": [
            {
                "command": "TopUp",
                "idempotency_key": "top-up-17",
                "body": {
                    "store": "nevsky",
                    "card": {"scheme": "card", "value": "5550001242"},
                    "amount": {"unit": "RUB", "amount": "100.00"},
                },
            }
        ]
    }


class BatchOutcomeSchema(f.Told):
    status = f.told_whole("what the command's own path would have answered")
    replayed = f.told_switch("it had been carried out before")
    body = fields.Dict(required=True, allow_none=True, metadata={"description": "the result; null for a problem"})
    problem = fields.Dict(required=True, allow_none=True, metadata={"description": "a problem document, or null"})


class BatchOutcomesSchema(f.Told):
    outcomes = f.told_some(BatchOutcomeSchema, "in the order of the commands")


Ready = tuple[Door, Command[Any]]


@section.post("/batch", BatchSchema, BatchOutcomesSchema)
def carry_out(asked: dict[str, Any]) -> Response:
    """Carry out many commands

    All of them travel in one transaction, and each has an outcome of its own: a refused one does not stop the
    others. Every command needs the scope of its own path.
    """
    prepared = [_prepared(item, n) for n, item in enumerate(asked["commands"])]
    commands = [one[1] for one in prepared if not isinstance(one, Refused)]
    outcomes = iter(rest().ask(commands) if commands else ())
    told = [_refusal(one) if isinstance(one, Refused) else _outcome(one[0], next(outcomes)) for one in prepared]
    return tell(BatchOutcomesSchema(), {"outcomes": told})


def _prepared(item: dict[str, Any], n: int) -> Ready | Refused:
    """The command with its door, or what it is refused with before anything is asked."""
    try:
        door = DOORS.get(item["command"])
        if door is None:
            known = ", ".join(sorted(DOORS))
            raise ValidationError({"command": [f"No such command; there are: {known}."]})
        client().check_scope(door.scope)
        command = _loaded(door, item["body"])
        check_stores(command)
        keys = (rest_key(item["idempotency_key"]),) if item["idempotency_key"] else ()
        return door, door.refine(keyed(command, keys))
    except ValidationError as error:
        return unfit({"commands": {n: error.messages}})
    except (LoyaltyError, Refused) as error:
        return as_refused(error)


def _loaded(door: Door, body: dict[str, Any]) -> Any:
    try:
        return door.body.load(body)
    except ValidationError as error:
        raise ValidationError({"body": error.messages}) from None


def _outcome(door: Door, outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, LoyaltyError):
        return _refusal(as_refused(outcome))
    body = door.answer.dump(outcome)
    return {"status": door.status, "replayed": outcome.replayed, "body": body, "problem": None}


def _refusal(refused: Refused) -> dict[str, Any]:
    told = problem(refused, language(), scale_of(rest().directory))
    return {"status": refused.status, "replayed": False, "body": None, "problem": told}
