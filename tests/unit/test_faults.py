"""Errors get the class that decides what happens next, and show the author's lines."""

from __future__ import annotations

import errno
import http.client
import subprocess
import urllib.error

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields

from runtime import errors
from runtime.run.events import ERROR_CLASSES, Fault
from runtime.tools import faults
from runtime.tools.faults import Origin

NOWHERE = Origin("", "", 0, "s")


@pytest.mark.parametrize(
    ("error", "cls"),
    [
        (errors.Transient("x"), "transient"),
        (errors.Throttled("x", 3), "throttled"),
        (errors.TimedOut("x"), "timeout"),
        (errors.Permanent("x"), "permanent"),
        (errors.DataError("x"), "data"),
        (errors.ResourceExhausted("x"), "resource"),
        (errors.UnknownEffect("x"), "unknown"),
        (TimeoutError(), "timeout"),
        (ConnectionResetError(), "transient"),
        (MemoryError(), "resource"),
        (OSError(errno.ENOSPC, "full"), "resource"),
        (OSError(errno.EFBIG, "over the limit of a file's size"), "resource"),
        (OSError(errno.EPERM, "no"), "permanent"),
        (ValueError("x"), "permanent"),
        (SystemExit(1), "permanent"),
        (subprocess.TimeoutExpired("x", 1), "timeout"),
        (http.client.RemoteDisconnected(), "transient"),
        (urllib.error.URLError("down"), "transient"),
        (httpx2.ReadTimeout("slow"), "timeout"),
        (httpx2.ConnectError("down"), "transient"),
        (ExceptionGroup("both", [TimeoutError(), ValueError()]), "timeout"),
    ],
)
def test_every_error_has_its_class(error: BaseException, cls: str) -> None:
    fault = faults.from_exception(error, NOWHERE)
    assert fault["cls"] == cls
    assert cls in ERROR_CLASSES


def test_a_fault_has_the_fields_of_the_event() -> None:
    assert set(faults.fault("data", "x")) == {field.name for field in fields(Fault)}


def test_throttled_says_how_long_to_wait() -> None:
    assert faults.from_exception(errors.Throttled("x", 2.5), NOWHERE)["retry_after_s"] == 2.5


def test_what_a_playbook_maps_is_refined_by_the_nearest_name() -> None:
    fault = faults.from_exception(KeyError("x"), NOWHERE)
    rules = {"LookupError": "data", "Exception": "transient"}
    assert faults.refine(fault, rules, *faults.names_of(KeyError("x")))["cls"] == "data"
    assert faults.refine(fault, {"ValueError": "data"}, "KeyError")["cls"] == "permanent"
    assert faults.refine(fault, None, "KeyError") == fault


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("row 17 of 4000 is bad", "row 9 of 12 is bad"),
        ("id 6f1c0a3e-9f0b-4c1d-8e2f-aabbccddeeff", "id 00000000-1111-2222-3333-444444444444"),
        ("at 0x7f00ab", "at 0x11"),
        ("object 0a1b2c3d4e5f is gone", "object ffff00001111 is gone"),
    ],
)
def test_numbers_and_ids_do_not_make_another_cause(one: str, other: str) -> None:
    assert faults.fingerprint("data", one) == faults.fingerprint("data", other)


def test_another_class_message_or_file_is_another_cause() -> None:
    prints = {
        faults.fingerprint("data", "bad row"),
        faults.fingerprint("permanent", "bad row"),
        faults.fingerprint("data", "bad column"),
        faults.fingerprint("data", "bad row", "a.py:3"),
    }
    assert len(prints) == 4
    same = faults.fingerprint("data", "bad row", "a.py:99")
    assert same in prints


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_fingerprints_of_one_text_with_any_numbers_are_equal(one: int, other: int) -> None:
    prints = [faults.fingerprint("data", f"item {n} failed") for n in (one, other)]
    assert prints[0] == prints[1]


@given(st.text(max_size=300), st.integers(20, 100))
def test_a_clipped_text_keeps_both_ends(text: str, limit: int) -> None:
    clipped = faults.clip(text, limit)
    assert len(clipped) <= max(len(text), limit + 60)
    assert clipped[: limit // 2] == text[: limit // 2]
    assert clipped.endswith(text[-(limit // 2) :])


def test_exit_codes_and_signals_have_words() -> None:
    assert faults.how_it_ended(3) == "exit code 3"
    assert faults.how_it_ended(-9) == "signal 9 (SIGKILL)"
