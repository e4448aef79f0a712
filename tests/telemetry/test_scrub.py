"""What may not be said, and what JSON has no word for."""

import numpy as np
import pytest

from gnn_trainer.telemetry.scrub import plain, scrub


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http://u:pw@minio:9000/b?sig=1 refused", "<address> refused"),
        ("see 'arangodb+tcp://db.internal'; retry", "see '<address>'; retry"),
        ("token tops3cret-long leaked: xtops3cret-longx", "token *** leaked: x***x"),
        ("user ann is not in annual", "user *** is not in annual"),
        ("expected 24:00 and a/b", "expected 24:00 and a/b"),
        ("at broker-1:9093 now", "at *** now"),
        ("no file caf\udce9", "no file caf?"),
    ],
)
def test_secrets_users_and_addresses_are_hidden(text: str, said: str) -> None:
    assert scrub(text, ["ann", "tops3cret-long", "broker-1:9093", "broker-1", ""]) == said


def test_a_secret_is_hidden_whatever_is_part_of_it() -> None:
    assert scrub("password=ab.c+(d", ["ab", "ab.c+(d"]) == "password=***"


def test_a_long_text_is_cut() -> None:
    assert len(scrub("x" * 10_000, [])) == 2000


def test_values_become_those_of_json() -> None:
    value = {
        "loss": np.float32(0.5),
        "bad": float("inf"),
        "epoch": np.int64(3),
        "ok": True,
        "who": ("ann", None),
        "odd": ValueError("http://x/y"),
    }
    assert plain(value, ["ann"]) == {
        "loss": 0.5,
        "bad": None,
        "epoch": 3,
        "ok": True,
        "who": ["***", None],
        "odd": "<address>",
    }
