"""What must not leave is masked, at any depth; whatever is given, plain data that JSON can hold comes out."""

import datetime
import decimal
import enum
import json
import math
import pathlib
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_session import config, masking
from otel_session.config import Config

MASK = masking.MASK


@pytest.fixture
def using() -> Iterator[Any]:
    """Puts settings in force, and the former ones back."""
    before = config._active
    yield lambda **wanted: config.activate(Config.load({}, **wanted))
    config.activate(before)


# --- Keys: each pattern has an example ---


@pytest.mark.parametrize(
    "key",
    ["password", "passwd", "user_password", "Password2", "passphrase", "passcode", "passwort", "pwd", "db_pwd", "pass",
     "db_pass", "userPass", "secret", "clientSecret", "SECRET_KEY", "token", "accessToken", "refresh-token",
     "X-CSRF-Token",
     "csrf", "xsrf_cookie", "api key", "api_key", "apiKey", "API-KEY", "x-api-key", "access_key", "AWSAccessKeyId",
     "account key", "authorization", "Authorisation", "Proxy-Authorization", "auth", "cookie", "Set-Cookie", "cookies",
     "session key", "sessionKey", "session_key", "JSESSIONID", "PHPSESSID", "connect.sid", "credential", "credentials",
     "credit card", "creditCard", "credit_card_number", "cardNumber", "card_no", "card holder", "cvv", "CVV2", "cvc",
     "csc", "security code", "iban", "customer_iban", "ssn", "user.ssn", "social_security_number", "pin", "card_pin",
     "pan",
     "private key", "privateKey", "private_key_pem", "ssh_key", "signing_key", "encryptionKey", "master_key",
     "signature",
     "sig", "otp", "totp", "jwt", "bearer", "pass\uff57ord", "x" * 500 + "password"],
)  # fmt: skip
def test_sensitive_keys(key: str) -> None:
    """Each pattern has an example, in the spellings that people use; what stands there is masked, whatever it is."""
    assert masking.is_sensitive_key(key)
    ((masked,),) = (item.values() for item in masking.mask({"deep": [{key: {"a": "zq"}}]})["deep"])
    assert masked == MASK


@pytest.mark.parametrize(
    "key",
    ["user", "author", "session_id", "correlation_id", "page", "design", "keyword", "signal", "assignee", "key",
     "company",
     "span", "passenger", "compass", "bypass", "first_pass_at", "spin", "pinned", "shipping", "card", "cards",
     "dashboard",
     "description", "authored", "option", "panel", "primary_key", "foreign_key", "monkey", "order_number", "number"],
)  # fmt: skip
def test_ordinary_keys(key: str) -> None:
    """Names that only look like one."""
    assert not masking.is_sensitive_key(key)


def test_own_patterns(using: Any) -> None:
    """Patterns of one's own count beside ours, from when they are set, and no longer than that."""
    assert masking.mask({"salary": 1, "patientName": 2}) == {"salary": 1, "patientName": 2}
    using(masked_keys="SALARY,patient_.*")
    assert masking.mask({"base_salary": 1, "patientName": 2, "token": 3}) == dict.fromkeys(
        ("base_salary", "patientName", "token"), MASK
    )
    using()
    assert masking.mask({"salary": 1}) == {"salary": 1}


def test_nothing_in_force(monkeypatch: pytest.MonkeyPatch, using: Any) -> None:
    """Where nothing is switched on the variables count; reading them puts no configuration in force."""
    using()
    config.activate(None)
    monkeypatch.setenv("OTEL_SESSION_MASKED_KEYS", "salary")
    assert masking.mask({"salary": 1}) == {"salary": MASK}
    assert not config.is_active()


def test_unusable_settings(monkeypatch: pytest.MonkeyPatch, using: Any, caplog: pytest.LogCaptureFixture) -> None:
    """With a variable that cannot be used masking goes on with the defaults, and one line says so."""
    using()
    masking.mask("x")
    config.activate(None)
    monkeypatch.setenv("OTEL_SESSION_METADATA_MAX_CHARS", "many")
    assert masking.mask({"password": "x", "a": "b" * 2_000})["password"] == MASK
    assert len(masking.mask("b" * 2_000)) < 1_100
    assert [line for line in caplog.messages if "OTEL_SESSION_METADATA_MAX_CHARS is 'many'" in line] == caplog.messages
    assert len(caplog.messages) == 1


# --- Texts ---

TOKEN = "zq" + "Mark" * 5


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("4111 1111 1111 1111", MASK),
        ("paid with 4111-1111-1111-1111, thanks", f"paid with {MASK}, thanks"),
        ("5555555555554444 378282246310005 6011111111111117", f"{MASK} {MASK} {MASK}"),
        (f"Authorization: Bearer {TOKEN}", f"Authorization: Bearer {MASK}"),
        (f"bearer {TOKEN}.a-b_c==", f"bearer {MASK}"),
        ("Basic dXNlcjpwYXNz", f"Basic {MASK}"),
        ("postgresql://joe:s3cret@db/shop", f"postgresql://joe:{MASK}@db/shop"),
        ("redis://:s3cret@cache:6379/0", f"redis://:{MASK}@cache:6379/0"),
        ("https://shop/?page=2&access_token=abc", f"https://shop/?page=2&access_token={MASK}"),
        ("Server=db;Password=x y", f"Server=db;Password={MASK} y"),
        ("User(name='joe', api_key='abc def')", f"User(name='joe', api_key={MASK})"),
        ('{"client_secret": "abc"}', f'{{"client_secret": {MASK}}}'),
        (f"is eyJhbGciOiJIUzI1NiJ9.{TOKEN}.{TOKEN} good?", f"is {MASK} good?"),
        ("key AKIAIOSFODNN7EXAMPLE", f"key {MASK}"),
        (f"ghp_{TOKEN} sk_live_{TOKEN} glpat-{TOKEN}", f"{MASK} {MASK} {MASK}"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\nx\n-----END RSA PRIVATE KEY-----\nrest", f"{MASK}\nrest"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE", MASK),
        ("(x) [SQL: SELECT 1]\n[parameters: ('zq',)]", None),
        ("Basic information about bearers of news", "Basic information about bearers of news"),
        ("order 4111111111111112 of 20250115143022", "order 4111111111111112 of 20250115143022"),
        ("1700000000000000000", "1700000000000000000"),
        ("f3a04111111111111111", "f3a04111111111111111"),
        ("the token expired: renew it", "the token expired: renew it"),
        ("a = b, c: d", "a = b, c: d"),
        ("M\udcfcller", "M?ller"),
    ],
)  # fmt: skip
def test_texts(text: str, clean: str | None) -> None:
    """Card numbers, credentials, passwords in URLs and reprs, keys and SQL values go; all else stays."""
    made = masking.mask({"note": [text]})["note"][0]
    assert made == clean if clean is not None else "zq" not in made


@pytest.mark.parametrize("number", [4111111111111111, 378282246310005, 5555555555554444])
def test_card_numbers_that_are_numbers(number: int) -> None:
    """A card's number is masked as a number, too; its neighbour is no card's number."""
    assert masking.mask([number, number + 1, -number]) == [MASK, number + 1, -number]


def test_long_texts(using: Any) -> None:
    """A long text is cut and says how long it was; what was cut already is not cut again."""
    assert masking.mask("x" * 1_024) == "x" * 1_024
    made = masking.mask("x" * 10_000_000)
    assert made == "x" * 1_024 + "… (cut, 10,000,000 characters)"
    assert masking.mask(made) == made
    using(metadata_max_chars=5)
    assert masking.mask({"a": "123456"}) == {"a": "12345… (cut, 6 characters)"}


def test_nothing_is_left_of_what_is_cut_through() -> None:
    """A secret that begins before the cut and ends behind it is masked whole."""
    for secret in (f"Bearer {TOKEN * 20}", "4111 1111 1111 1111", f"password={TOKEN}", f"api_key='{TOKEN * 90}'"):
        for place in range(max(1, 1_000 - len(secret)), 1_024):
            made = masking.mask("-" * (place - 1) + " " + secret + " " + "-" * 500)
            assert "Mark" not in made
            assert "4111 1111" not in made


@pytest.mark.parametrize(
    "text",
    ["token" * 400, "a" * 100_000 + "=", "eyJ-" * 20_000, "basic " * 20_000, "4 " * 50_000, "a.token'" * 9_000 + ":",
     "=token" * 9_000, "password" * 9_000 + "=:", "-----BEGIN PRIVATE KEY-----" * 900, "://" * 30_000 + "@"],
)  # fmt: skip
def test_time_of_hostile_texts(text: str) -> None:
    """No text takes more time than its length explains."""
    started = time.perf_counter()
    masking.clean_text(text, 1_000_000)
    assert time.perf_counter() - started < 0.5


# --- Values ---


class Colour(enum.Enum):
    RED = "red"


class Word(str):
    def __str__(self) -> str:
        raise RuntimeError("no")


class Unshowable:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


class BadMapping(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise RuntimeError("no")

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("no")

    def __len__(self) -> int:
        raise RuntimeError("no")


class Endless(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        return key

    def __iter__(self) -> Iterator[str]:
        number = 0
        while True:
            number += 1
            yield str(number)

    def __len__(self) -> int:
        return 10**9


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None), (True, True), (3, 3), (2.5, 2.5), ("a", "a"), ((1, 2), [1, 2]), ({3}, [3]),
        ({1: 2, None: 3}, {"1": 2, "None": 3}),
        (math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity"),
        (2**64 - 1, 2**64 - 1), (-(2**63), -(2**63)), (2**64, str(2**64)), (10**400, "(a number of 1,329 bits)"),
        (datetime.datetime(2025, 1, 15, 14, 30, tzinfo=datetime.timezone.utc), "2025-01-15T14:30:00+00:00"),
        (datetime.date(2025, 1, 15), "2025-01-15"), (decimal.Decimal("1.50"), "1.50"), (pathlib.PurePosixPath("/a"),
        "/a"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"), (b"ab\xff", "ab\ufffd"), (Colour.RED, "red"),
        (ValueError("x"), "ValueError: x"), (Word("word"), "word"),
        (Unshowable(), masking.UNREADABLE), (BadMapping(), masking.UNREADABLE),
    ],
)  # fmt: skip
def test_values(value: Any, plain: Any) -> None:
    """Each kind of value has its plain form."""
    made = masking.mask(value)
    assert made == plain
    assert type(made) is type(plain)


def test_recursion_and_depth() -> None:
    """What holds itself, and what is nested too deep, says so."""
    ring: list[Any] = [1]
    ring.append({"again": ring})
    assert masking.mask(ring) == [1, {"again": "(recursive)"}]
    twice = {"a": 1}
    assert masking.mask([twice, twice]) == [twice, twice]
    deep: Any = "bottom"
    for _ in range(2_000):
        deep = [deep]
    assert json.dumps(masking.mask(deep)) == "[" * 8 + '"(nested too deep)"' + "]" * 8


def test_bounds() -> None:
    """Of many items the first 64 are kept and a note; of a whole thing 1,000 values, however they are nested."""
    assert masking.mask(list(range(100))) == [*range(64), "(+36 more)"]
    assert masking.mask({str(n): n for n in range(65)}) == {str(n): n for n in range(65)}
    cut = masking.mask({str(n): n for n in range(70)})
    assert (len(cut), cut["…"]) == (65, "(+6 more)")
    assert len(masking.mask(Endless())) == 65
    wide: Any = "x"
    for _ in range(6):
        wide = [wide] * 50
    assert json.dumps(masking.mask(wide)).count('"x"') <= 1_000


def test_mask_mapping() -> None:
    """A mapping gives a dict; anything else is put into one."""
    assert masking.mask_mapping({"token": 1, "n": {"a": 1}}) == {"token": MASK, "n": {"a": 1}}
    wrong: Any = [1]
    assert masking.mask_mapping(wrong) == {"value": [1]}
    assert masking.mask_mapping(BadMapping()) == {"value": masking.UNREADABLE}


def test_what_is_given_stays_as_it_is() -> None:
    """Masking makes new data."""
    given_one = {"password": "x", "list": [{"token": 1}]}
    masking.mask(given_one)
    assert given_one == {"password": "x", "list": [{"token": 1}]}


def test_flat_attributes() -> None:
    """Metadata becomes attributes that OpenTelemetry takes, masked, with flat names."""
    made = masking.flat_attributes(
        "op", {"client": "ACME", "n": 3, "big": 2**63, "none": None, "a": {"b": {"token": 1, "ok": True}},
               "list": [1, 2], "mixed": [1, "a", None], "objects": [{"cvv": 1}], "empty": [], "x": 1.5}
    )  # fmt: skip
    assert made == {
        "op.client": "ACME", "op.n": 3, "op.big": str(2**63), "op.a.b.token": MASK, "op.a.b.ok": True, "op.list": [1,
        2],
        "op.mixed": '[1, "a", null]', "op.objects": f'[{{"cvv": "{MASK}"}}]', "op.empty": [], "op.x": 1.5,
    }  # fmt: skip
    assert masking.flat_attributes("", {"a": 1}) == {"a": 1}
    assert len(masking.flat_attributes("p", {str(n): {str(m): m for m in range(9)} for n in range(60)})) == 64


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary() | st.dates()
    | st.decimals() | st.builds(Unshowable) | st.builds(BadMapping) | st.builds(object),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()) | st.integers() | st.none(), inner)
    | st.tuples(inner, inner),
    max_leaves=30,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(anything)
def test_whatever_is_given(value: Any) -> None:
    """Whatever is given, strict JSON in UTF-8 can hold what comes out, and masking that again changes nothing."""
    made = masking.mask(value)
    json.dumps(made, allow_nan=False, ensure_ascii=False).encode()
    assert masking.mask(made) == made
    for name, attribute in masking.flat_attributes("p", masking.mask_mapping(value)).items():
        assert name.startswith("p.")
        assert isinstance(attribute, str | bool | int | float | list)
