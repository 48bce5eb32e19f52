"""Writes src/canonical/plans/table.rs: the numbers that libphonenumber leaves as they are.

    python3 tests/oracle/plans.py > src/canonical/plans/table.rs && rustfmt src/canonical/plans/table.rs

Read from the metadata of PyPI `phonenumbers`, in the version of rlibphonenumber's own metadata (its readme
names it): another version differs by a number in some thousands, and the tests then say where. The argument, step by step of libphonenumber's `parse`:

A number `+ country nsn` of digits and plain separators keeps its digits when
  * `nsn` has a possible length (so that it is also accepted), and
  * the national prefix pattern of the country's main region can match nothing but the empty string at the
    start of `nsn`. `reach` over-approximates what a pattern matches (a look-ahead always holds), so a pair of
    first digits is only allowed when no match exists.
No other step may change it: separators are dropped, no extension can begin without a letter or one of
`#;,~x`, country codes are prefix-free, and the digits of numbers with leading zeros are formatted as they
were (but `00…` is left to the library).

A number without `+` in a region is `+ country digits` when, besides, neither the international prefix nor
the country code can be at its start ("bare"); and `0 nsn` is `+ country nsn` when the prefix pattern can
match `0` and nothing else there, and the general pattern can't match with the `0` ("trunk").

What is written here is then held against rlibphonenumber by src/canonical/tests.rs, for every country
code, length and pair of first digits.
"""

import re._constants as op
import re._parser as parser

import phonenumbers
from phonenumbers import PhoneMetadata

PAIRS = [f"{n:02}" for n in range(100)]


def node_reach(node, texts):
    """The ends that `node` may have: `texts` are what is left of the known digits, or None once past them.

    Yields what is left after the node, for each way to match it."""
    code, arg = node
    if code in (op.LITERAL, op.IN):
        for text in texts:
            if text is None or text == "":
                yield None
            elif accepts(node, text[0]):
                yield text[1:]
    elif code is op.BRANCH:
        for branch in arg[1]:
            yield from seq_reach(branch, texts)
    elif code is op.SUBPATTERN:
        yield from seq_reach(arg[3], texts)
    elif code in (op.MAX_REPEAT, op.MIN_REPEAT):
        least, most, body = arg
        ends = set(texts)
        for _ in range(least):
            ends = set(seq_reach(body, ends))
        every = set(ends)
        for _ in range(min(most, 20) - least):
            ends = set(seq_reach(body, ends)) - every
            if not ends:
                break
            every |= ends
        yield from every
    elif code in (op.ASSERT, op.ASSERT_NOT, op.AT):
        yield from texts
    else:
        raise ValueError(code)


def accepts(node, digit):
    code, arg = node
    if code is op.LITERAL:
        return arg == ord(digit)
    for kind, value in arg:
        if kind is op.LITERAL and value == ord(digit):
            return True
        if kind is op.RANGE and value[0] <= ord(digit) <= value[1]:
            return True
        if kind is op.CATEGORY and value is op.CATEGORY_DIGIT:
            return True
        if kind not in (op.LITERAL, op.RANGE, op.CATEGORY):
            raise ValueError(kind)
    return False


def seq_reach(seq, texts):
    texts = set(texts)
    for node in seq:
        texts = set(node_reach(node, texts))
    return texts


def reach(pattern, text):
    """What may be left of `text` and unknown digits after `pattern` matched at the start."""
    return set() if not pattern else seq_reach(parser.parse(pattern), {text})


def never(pattern, text):
    """Whether `pattern` matches nothing, or only the empty string, at the start of `text` and any digits."""
    return reach(pattern, text) <= {text}


def metadata(country):
    region = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[country][0]
    if region == "001":
        return PhoneMetadata.metadata_for_nongeo_region(country)
    return PhoneMetadata.metadata_for_region(region)


def bits(pairs):
    return f"0x{sum(1 << int(p) for p in pairs):025x}"


def lengths(*metas):
    common = set.intersection(*(set(m.general_desc.possible_length) for m in metas))
    return sum(1 << n for n in common if n >= 4)


def international(country):
    meta = metadata(country)
    pairs = [p for p in PAIRS if p != "00" and never(meta.national_prefix_for_parsing, p)]
    return f'Plan::new("{country}", 0x{lengths(meta):05x}, {bits(pairs)}),'


def bare(meta, pair):
    return (
        pair != "00"
        and never(meta.national_prefix_for_parsing, pair)
        and never(meta.international_prefix, pair)
        and not str(meta.country_code).startswith(pair)
        and not pair.startswith(str(meta.country_code))
    )


def trunk(meta, pair):
    rule = meta.national_prefix_transform_rule
    number = "0" + pair
    return (
        pair[0] != "0"
        and not rule
        and reach(meta.national_prefix_for_parsing, number) == {pair}
        and never(meta.international_prefix, number)
        and not reach(meta.general_desc.national_number_pattern, number)
    )


def national(region):
    meta = PhoneMetadata.metadata_for_region(region)
    main = metadata(meta.country_code)
    plain = [p for p in PAIRS if bare(meta, p)]
    after_zero = [p for p in PAIRS if trunk(meta, p)]
    if not lengths(meta, main) or not (plain or after_zero):
        return None
    return (
        f'National::new("{region}", "{meta.country_code}", 0x{lengths(meta, main):05x}, '
        f"{bits(plain)}, {bits(after_zero)}),"
    )


def main():
    print("//! Written by tests/oracle/plans.py, which says why each row is right. Not to be edited.")
    print(f"//! From PyPI phonenumbers {phonenumbers.__version__}.\n")
    print("use super::{National, Plan};\n")
    countries = sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)
    print("/// Numbers with a country code: code, bits of lengths, bits of allowed first two digits.")
    print("#[rustfmt::skip]")
    print(f"pub(super) static PLANS: [Plan; {len(countries)}] = [")
    for country in countries:
        print("    " + international(country))
    print("];\n")
    rows = [row for row in map(national, sorted(phonenumbers.SUPPORTED_REGIONS)) if row]
    print("/// National numbers: region, country code, bits of lengths, of allowed first two digits without a")
    print("/// national prefix, and of those after a national prefix 0.")
    print("#[rustfmt::skip]")
    print(f"pub(super) static NATIONAL: [National; {len(rows)}] = [")
    for row in rows:
        print("    " + row)
    print("];")


main()
