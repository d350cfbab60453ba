from __future__ import annotations

from uuid import UUID

import pytest

from simstack.nexus_choice import UnknownNexus, choose_nexus

FIRST = UUID("e6bff1ff-24fb-49dc-a54e-c6a350cd4d6c")
SECOND = UUID("f651412c-31a6-58e2-9cf4-36974ad499a9")
THIRD = UUID("f6514f00-0000-5000-8000-000000000000")
NUMERIC = UUID("12345678-0000-5000-8000-000000000000")
BY_HAND = UUID("a4ef738a-1fb0-47b1-9da2-4919c7ec7c7f")
LAUNCHED = (FIRST, SECOND, THIRD, NUMERIC)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1),
        ("nexus3", 3),
        ("02", 2),
        (str(SECOND), 2),
        (str(SECOND).upper(), 2),
        ("e6bf", 1),
        ("f65141", 2),
        ("f6514f", 3),
        ("1234", 4),  # too long for a number
    ],
)
def test_names_one(text: str, number: int) -> None:
    assert choose_nexus(text, launched=LAUNCHED, by_hand=BY_HAND) == number


def test_the_only_one_need_not_be_named() -> None:
    assert choose_nexus(None, launched=[FIRST], by_hand=BY_HAND) == 1
    with pytest.raises(UnknownNexus, match=f"^say which Nexus: nexus1 \\({FIRST}\\), nexus2 \\({SECOND}\\)$"):
        choose_nexus(None, launched=[FIRST, SECOND], by_hand=BY_HAND)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("0", "there is no nexus0: this stack launched nexus1 "),
        ("5", "there is no nexus5: .*; one that was started by hand has no number"),
        ("nexus", "'nexus' is none of this stack's Nexuses: nexus1 "),
        ("", "'' is none of this stack's Nexuses"),
        ("-1", "'-1' is none of this stack's Nexuses"),
        ("e6b", "'e6b' is none of .*the first 4 characters of one or more"),
        ("e6bff2", "'e6bff2' is none of "),
        ("f6514", f"'f6514' is the start of more than one id: {SECOND}, {THIRD}"),
        ("a4ef", f"{BY_HAND} is the second Nexus of config-second.toml, which is started by hand"),
        (str(BY_HAND), f"{BY_HAND} is the second Nexus of config-second.toml, which is started by hand"),
    ],
)
def test_says_what_there_is_to_choose_from(text: str, complaint: str) -> None:
    with pytest.raises(UnknownNexus, match=f"^{complaint}"):
        choose_nexus(text, launched=LAUNCHED, by_hand=BY_HAND)
