"""Requests made up from the document: no 500, and every answer is as the document says."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, BaseSchema, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi import checks as openapi

from tests.gateway.api.client import Client, new_key
from tests.processing.books import MOSCOW, PLAIN, POINTS, URAL, Books, top_up

# Nothing here depends on the database (conftest.py).
ON_SQLITE_ONLY = True

FEW, MANY = 2, 40
# What is well-formed may still be refused: a cursor of another list, a unit that the chain has not.
CHECKS = [
    not_a_server_error,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_headers_conformance,
    openapi.response_schema_conformance,
    openapi.negative_data_rejection,
    openapi.unsupported_method,
    openapi.ignored_auth,
]


@pytest.fixture
def card(books: Books) -> str:
    """A card with much of everything on it."""
    number = books.card(10**9)
    books.done(top_up("open", number, 10**9))
    return number


@pytest.fixture
def document(made: Flask) -> BaseSchema:
    """The document over the application."""
    # The key is added to every request; one that is made up as well would be told as an intruder's.
    generation = GenerationConfig(with_security_parameters=False)
    projects = ProjectsConfig(default=ProjectConfig(generation=generation))
    return schemathesis.openapi.from_wsgi("/api/openapi.json", made, config=SchemathesisConfig(projects=projects))


def lifelike(value: Any, card: str) -> Any:
    """The same with stores, units, products and cards that are there: strangers are refused before much happens."""
    known = {"store": MOSCOW, "sale_store": URAL, "unit": POINTS, "product": PLAIN, "scheme": "card", "value": card}
    if isinstance(value, dict):
        return {key: known[key] if key in known else lifelike(inner, card) for key, inner in value.items()}
    if isinstance(value, list):
        return [lifelike(inner, card) for inner in value]
    return value


def ask(
    operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode, examples: int, rest: Client, card: str
) -> None:
    """Make up requests for one operation: sound ones, or such as break its rules. Errors: Failure, FailureGroup."""
    # In a batch every command is refused by itself, and the request is not.
    is_batch = operation.path == "/api/v1/batch"
    checks = [check for check in CHECKS if not (is_batch and check is openapi.negative_data_rejection)]

    @settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=examples == FEW,
        database=None,
        phases=(Phase.generate,),
    )
    @given(case=operation.as_strategy(generation_mode=mode), is_lifelike=st.booleans())
    def run(case: Case, is_lifelike: bool) -> None:
        if mode is GenerationMode.POSITIVE and case.method in ("POST", "PATCH"):
            case.headers["Idempotency-Key"] = new_key()
            if is_lifelike:
                case.body = lifelike(case.body, card)
        case.call_and_validate(checks=checks, headers={"Authorization": f"Bearer {rest.api_key}"})

    run()


def check(document: BaseSchema, rest: Client, card: str, examples: int) -> None:
    """Every operation in both ways; their failures are told together."""
    failures: list[str] = []
    for found in document.get_all_operations():
        operation = found.ok()
        for mode in GenerationMode:
            try:
                ask(operation, mode, examples, rest, card)
            except Unsatisfiable:
                assert mode is GenerationMode.NEGATIVE, operation.label
            except (FailureGroup, Failure) as failure:
                failures.append(f"{operation.label}: {failure}")
    assert not failures, "\n\n".join(failures)


def test_no_request_breaks_it_and_answers_are_as_documented(
    document: BaseSchema, rest: Client, card: str, books: Books
) -> None:
    check(document, rest, card, FEW)
    books.check_laws()


@pytest.mark.slow
def test_many_requests_do_not_break_it_either(document: BaseSchema, rest: Client, card: str, books: Books) -> None:
    check(document, rest, card, MANY)
    books.check_laws()
