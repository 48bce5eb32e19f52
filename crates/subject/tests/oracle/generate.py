#!/usr/bin/env python3
"""Makes tests/vectors/phones-oracle.csv: random numbers of all regions in many writings, canonical forms by PyPI's
`phonenumbers` (Google's metadata). Seeded: the same version of the oracle makes the same file.

    pip install phonenumbers && python3 tests/oracle/generate.py > tests/vectors/phones-oracle.csv
"""
import csv
import random
import sys

import phonenumbers as p

dice = random.Random(20261124)


def canonical(text, region):
    try:
        number = p.parse(text, region)
    except p.NumberParseException:
        return ""
    return p.format_number(number, p.PhoneNumberFormat.E164) if p.is_possible_number(number) else ""


def writings(number, region):
    e164 = p.format_number(number, p.PhoneNumberFormat.E164)
    national = p.format_number(number, p.PhoneNumberFormat.NATIONAL)
    international = p.format_number(number, p.PhoneNumberFormat.INTERNATIONAL)
    nsn = p.national_significant_number(number)
    code = str(number.country_code)
    yield e164, "FR"
    yield international, "FR"
    yield national, region
    yield nsn, region
    yield f"+{code} (0){nsn}", "FR"
    yield f"+{code}0{nsn}", "FR"
    yield f"00{code}{nsn}", "FR"
    yield f"tel:{e164}", region
    yield ".".join(e164[i:i + 2] for i in range(0, len(e164), 2)), region
    yield e164[:-1], region
    yield e164 + "0", region
    yield national.translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")), region
    yield f"{e164} ext. 12", region


def main():
    rows = set()
    for region in sorted(p.SUPPORTED_REGIONS):
        for kind in (p.PhoneNumberType.MOBILE, p.PhoneNumberType.FIXED_LINE):
            example = p.example_number_for_type(region, kind)
            if example is None:
                continue
            nsn = p.national_significant_number(example)
            for _ in range(2):
                tail = "".join(dice.choice("0123456789") for _ in nsn[3:])
                number = p.PhoneNumber(
                    country_code=example.country_code,
                    national_number=int(nsn[:3] + tail),
                    italian_leading_zero=example.italian_leading_zero,
                )
                for row in dice.sample(list(writings(number, region)), 6):
                    rows.add(row)
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["input", "default_region", "canonical"])
    for text, region in sorted(rows):
        out.writerow([text, region, canonical(text, region)])


main()
