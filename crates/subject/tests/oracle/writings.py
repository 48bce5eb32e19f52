"""Writes tests/vectors/writings.csv: numbers of all regions in many writings, and what libphonenumber makes of them.

    python3 tests/oracle/writings.py [SEED [ROWS]] > tests/vectors/writings.csv

The oracle is PyPI `phonenumbers`, in the version of rlibphonenumber's own metadata (its readme names it;
9.0.18 against 9.0.42 gives 2 rows in 5,000 another form, because numbering plans change): E.164 of the parse
when it is possible, nothing otherwise. Most numbers are examples of their region with a few digits changed,
the others are random digits of a possible or an impossible length.
"""

import csv
import random
import sys

import phonenumbers as p

KINDS = [getattr(p.PhoneNumberType, k) for k in ("FIXED_LINE", "MOBILE", "TOLL_FREE", "VOIP", "SHARED_COST")]
REGIONS = sorted(p.SUPPORTED_REGIONS)


def significant(dice, region):
    """A national significant number, or nearly one."""
    metadata = p.PhoneMetadata.metadata_for_region(region)
    example = p.example_number_for_type(region, dice.choice(KINDS)) or p.example_number(region)
    digits = list(p.national_significant_number(example))
    if dice.random() < 0.3:
        length = dice.choice(list(metadata.general_desc.possible_length) + [dice.randint(2, 17)])
        digits = [dice.choice("0123456789") for _ in range(length)]
    for _ in range(dice.choice((0, 1, 2, 4))):
        digits[dice.randrange(len(digits))] = dice.choice("0123456789")
    if dice.random() < 0.05:
        digits = digits[: dice.randint(2, len(digits))] + [dice.choice("0123456789")] * dice.randint(0, 3)
    return "".join(digits)


def grouped(dice, digits):
    separator = dice.choice((" ", "-", ".", "", "/", "\u00a0", "\u2011"))
    size = dice.choice((2, 3, 4))
    return separator.join(digits[i : i + size] for i in range(0, len(digits), size))


def writings(dice, country, digits, metadata):
    """One way to write it down."""
    prefix = metadata.national_prefix or "0"
    idd = metadata.preferred_international_prefix or metadata.international_prefix or "00"
    idd = idd if idd.isdigit() else "00"
    national = (f"{digits}", f"{prefix}{digits}", grouped(dice, prefix + digits), grouped(dice, digits))
    international = (
        f"+{country}{digits}",
        f"+{country} {grouped(dice, digits)}",
        f"+{country}-{grouped(dice, digits)}",
        f"+{country} (0){digits}",
        f"+{country}(0) {grouped(dice, digits)}",
        f"+{country}{prefix}{digits}",
        f"({country}) {digits}",
        f"(+{country}) {grouped(dice, digits)}",
        f"{idd}{country}{digits}",
        f"{idd} {country} {grouped(dice, digits)}",
        f"{country}{digits}",
        f"++{country}{digits}",
        f"+{country}{digits} ext. 12",
        f"+{country}{digits}x12",
        f"+{country}{digits};ext=3",
        f"tel:+{country}-{digits}",
        f"tel:{digits};phone-context=+{country}",
        f" +{country}{digits} ",
        f"\u200e+{country}{digits}",
        f"Tel. +{country} {grouped(dice, digits)}.",
        f"\uff0b{country}{digits}",
        "+" + f"{country}{digits}".translate({48 + n: 0xFF10 + n for n in range(10)}),
        f"+{country} 1-800-FLOWERS",
        f"+{country}{digits}\u200b",
    )
    return dice.choice(national if dice.random() < 0.4 else international)


def canonical(text, region):
    try:
        number = p.parse(text, region)
    except p.NumberParseException:
        return ""
    return p.format_number(number, p.PhoneNumberFormat.E164) if p.is_possible_number(number) else ""


def main():
    dice = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
    rows = int(sys.argv[2]) if len(sys.argv) > 2 else 5000
    seen = set()
    while len(seen) < rows:
        region = REGIONS[len(seen) % len(REGIONS)]
        metadata = p.PhoneMetadata.metadata_for_region(region)
        text = writings(dice, metadata.country_code, significant(dice, region), metadata)
        default = dice.choice((region, region, "FR", dice.choice(REGIONS)))
        seen.add((text, default, canonical(text, default)))
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(("input", "default_region", "canonical"))
    out.writerows(sorted(seen))


main()
