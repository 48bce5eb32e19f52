//! Nasty records for `send-jobs`, made by name, each with what must become of it by the contract, section 9.
//!
//! They are made, not kept as files: a table of what is wrong says more than bytes do. Each that is read as a job has an
//! id of its own, so that its outcome is found again.

use tamis_campaign::{RejectReason, Verdict};

/// What must not be found in any log, dead letter or outcome: pieces of people and content in these records.
pub const CANARIES: [&str; 4] = ["6399810", "camille", "CANARY-CONTENT", "CANARY-FIELDS"];

/// Recipients of a job: the promise's number, not the code's, so that code which takes more is seen.
const RECIPIENTS_MAX: usize = 100_000;

/// What must become of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// A dead letter with this code.
    Dead(&'static str),
    /// Refused with this code.
    Refused(&'static str),
    /// Decided, so many forwarded, so many rejected by reason.
    Decided(Verdict, u32, Vec<(RejectReason, u32)>),
    /// Deferred whole, or expired.
    Timed(Verdict),
}

/// A record and what must become of it.
pub struct Case {
    /// What is wrong with it.
    pub name: String,
    /// Its job's id, if it is read as a job.
    pub job_id: String,
    /// The record's value.
    pub value: Vec<u8>,
    /// What must become of it.
    pub fate: Fate,
}

/// Every case.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut all = Corpus(Vec::new());
    all.truncated();
    all.damaged();
    all.wire_types();
    all.twice_and_forged();
    all.texts();
    all.numbers();
    all.recipients();
    all.sizes();
    all.0
}

/// A varint.
#[must_use]
pub fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
    out
}

/// A length-delimited field.
#[must_use]
pub fn bytes(number: u64, value: &[u8]) -> Vec<u8> {
    [&varint(number << 3 | 2)[..], &varint(value.len() as u64), value].concat()
}

/// A varint field.
#[must_use]
pub fn number(number: u64, value: u64) -> Vec<u8> {
    [varint(number << 3), varint(value)].concat()
}

/// The fields of a good job but for its recipients, in order.
fn head(job_id: &str) -> [Vec<u8>; 4] {
    let content = b"CANARY-CONTENT of a message";
    [bytes(1, job_id.as_bytes()), bytes(2, b"acme"), number(4, 1), bytes(14, content)]
}

fn person(n: u32) -> Vec<u8> {
    let body = [bytes(1, format!("+33639981{n:03}").as_bytes()), bytes(3, b"CANARY-FIELDS")];
    bytes(15, &body.concat())
}

/// A good job to two people.
fn good(job_id: &str) -> Vec<u8> {
    [head(job_id).concat(), person(1), person(2)].concat()
}

fn routed(forwarded: u32) -> Fate {
    Fate::Decided(Verdict::Routed, forwarded, Vec::new())
}

fn empty(rejected: &[(RejectReason, u32)]) -> Fate {
    Fate::Decided(Verdict::Empty, 0, rejected.to_vec())
}

const BAD_FIELD: Fate = Fate::Refused("BAD_FIELD");

struct Corpus(Vec<Case>);

impl Corpus {
    /// A case whose record is made of an id of its own.
    fn add(&mut self, name: impl Into<String>, make: impl FnOnce(&str) -> Vec<u8>, fate: Fate) {
        let job_id = format!("hostile-{}", self.0.len());
        let value = make(&job_id);
        self.0.push(Case { name: name.into(), job_id, value, fate });
    }

    /// A good job with something after it.
    fn after(&mut self, name: impl Into<String>, more: &[u8], fate: Fate) {
        self.add(name, |id| [good(id), more.to_vec()].concat(), fate);
    }

    /// A job with this one recipient, and a good one after it.
    fn recipient(&mut self, name: impl Into<String>, body: &[u8], rejected: Option<RejectReason>) {
        let fate = match rejected {
            None => routed(2),
            Some(reason) => Fate::Decided(Verdict::Routed, 1, vec![(reason, 1)]),
        };
        self.add(name, |id| [head(id).concat(), bytes(15, body), person(2)].concat(), fate);
    }

    /// Cut at every byte: between two fields it is another job, within one it is none.
    fn truncated(&mut self) {
        let length = good("hostile-000").len();
        for cut in 0..length {
            let id = format!("hostile-{:03}", self.0.len());
            let pieces = [head(&id).to_vec(), vec![person(1), person(2)]].concat();
            let mut ends = pieces.iter().scan(0, |end, piece| {
                *end += piece.len();
                Some(*end)
            });
            let fate = match (cut, ends.position(|end| end == cut)) {
                (0, _) => Fate::Dead("EMPTY_VALUE"),
                (_, None) => Fate::Dead("TRUNCATED"),
                (_, Some(0)) => Fate::Dead("MISSING_TENANT"),
                (_, Some(1)) => BAD_FIELD,
                (_, Some(2 | 3)) => empty(&[]),
                (_, Some(_)) => routed(1),
            };
            let value = good(&id)[..cut].to_vec();
            self.0.push(Case { name: format!("cut at {cut}"), job_id: id, value, fate });
        }
    }

    fn damaged(&mut self) {
        let many = [0xff_u8; 10];
        self.after(
            "varint of eleven bytes",
            &[&[0x20], &many[..], &[1]].concat(),
            Fate::Dead("VARINT_TOO_LONG"),
        );
        self.after("varint of 65 bits", &[&[0x20], &many[..9], &[2]].concat(), Fate::Dead("VARINT_TOO_LONG"));
        self.after("tag of eleven bytes", &[&many[..], &[1]].concat(), Fate::Dead("VARINT_TOO_LONG"));
        for (name, length) in
            [("2^32", 1 << 32), ("2^31", 1 << 31), ("2^63", 1 << 63), ("2^64 - 1", u64::MAX)]
        {
            for field in [1_u64, 14, 15, 999] {
                let more = [varint(field << 3 | 2), varint(length)].concat();
                self.after(format!("field {field} of {name} bytes"), &more, Fate::Dead("TRUNCATED"));
            }
        }
        self.after("field number 0", &[0x02, 0], Fate::Dead("BAD_TAG"));
        self.after("field number 2^29", &[varint(1 << 32 | 2), vec![0]].concat(), Fate::Dead("BAD_TAG"));
        self.after("greatest field number", &bytes((1 << 29) - 1, b"x"), routed(2));
        for wire_type in [6_u8, 7] {
            self.after(format!("wire type {wire_type}"), &[8 | wire_type, 0], Fate::Dead("BAD_TAG"));
        }
        self.after("group", &[0xa3, 1, 0xa4, 1], Fate::Dead("GROUP"));
        self.after("group of a known field", &[0x0b, 0x0c], Fate::Dead("GROUP"));
        self.after("end of a group that never began", &[0xa4, 1], Fate::Dead("GROUP"));
        self.after("ten thousand groups in each other", &[0x0b; 10_000], Fate::Dead("GROUP"));
        self.after("fixed64 cut short", &[0xf9, 0x3e, 1, 2, 3], Fate::Dead("TRUNCATED"));
        self.after("fixed32 cut short", &[0xfd, 0x3e, 1], Fate::Dead("TRUNCATED"));
        self.after("fixed64 unknown", &[0xf9, 0x3e, 1, 2, 3, 4, 5, 6, 7, 8], routed(2));
        self.add("zeros", |_| vec![0; 1_000], Fate::Dead("BAD_TAG"));
        self.add("text", |_| b"camille@example.org".to_vec(), Fate::Dead("GROUP"));
        self.add("JSON", |_| br#"{"job_id":"camille"}"#.to_vec(), Fate::Dead("GROUP"));
        self.add("a job in a job", |id| bytes(15, &good(id)), Fate::Dead("MISSING_JOB_ID"));
    }

    /// Every known field with every wire type but its own.
    fn wire_types(&mut self) {
        let payload = |wire_type: u64| match wire_type {
            0 => vec![1],
            1 => vec![0; 8],
            2 => vec![1, b'x'],
            _ => vec![0; 4],
        };
        for field in (1..=10).chain(13..=15) {
            let own = if matches!(field, 4 | 5 | 8 | 9) { 0 } else { 2 };
            for wire_type in [0, 1, 2, 5].into_iter().filter(|one| *one != own) {
                let more = [varint(field << 3 | wire_type), payload(wire_type)].concat();
                self.after(
                    format!("field {field}, wire type {wire_type}"),
                    &more,
                    Fate::Dead("WRONG_WIRE_TYPE"),
                );
            }
        }
        for field in [11, 12, 17, 1_000] {
            for wire_type in [0, 1, 2, 5] {
                let more = [varint(field << 3 | wire_type), payload(wire_type)].concat();
                self.after(format!("unknown field {field}, wire type {wire_type}"), &more, routed(2));
            }
        }
    }

    /// A singular field twice, even if it says the same; a stamp of one's own.
    fn twice_and_forged(&mut self) {
        for field in (1..=10).chain(13..=14) {
            let one = |id: &str| match field {
                4 | 5 => number(field, 1),
                8 | 9 => number(field, 0),
                1 => bytes(field, id.as_bytes()),
                _ => bytes(field, b"acme"),
            };
            self.add(format!("field {field} twice"), |id| [good(id), one(id).repeat(2)].concat(), BAD_FIELD);
        }
        self.after("empty job_id after the good one", &bytes(1, b""), Fate::Dead("MISSING_JOB_ID"));
        self.after("ill-formed job_id after the good one", &bytes(1, b"camille@"), Fate::Dead("BAD_JOB_ID"));
        self.after("ill-formed tenant after the good one", &bytes(2, b"camille@"), Fate::Dead("BAD_TENANT"));
        let stamp = [number(1, 1), bytes(4, b"gateway"), number(5, 1)].concat();
        self.after("forged stamp", &bytes(16, &stamp), BAD_FIELD);
        self.after("empty stamp", &bytes(16, b""), BAD_FIELD);
        self.after("stamp as a number", &number(16, 1), BAD_FIELD);
        self.after("stamp as fixed32", &[0x85, 1, 0, 0, 0, 0], BAD_FIELD);
        self.add("stamp before everything", |id| [bytes(16, &stamp), good(id)].concat(), BAD_FIELD);
    }

    fn texts(&mut self) {
        let ill: [(&str, &[u8]); 5] = [
            ("a byte that is none", b"\xff"),
            ("an overlong slash", b"\xc0\xaf"),
            ("half a surrogate pair", b"\xed\xa0\x80"),
            ("past U+10FFFF", b"\xf4\x90\x80\x80"),
            ("a continuation alone", b"camille\x80"),
        ];
        for (what, text) in ill {
            for field in [1, 2, 3, 6, 7, 10, 13] {
                self.after(format!("field {field}: {what}"), &bytes(field, text), Fate::Dead("INVALID_UTF8"));
            }
        }
        let with_id = |id: &[u8]| [bytes(1, id), head("x")[1..].concat(), person(1)].concat();
        let with_tenant = |id: &str, tenant: &[u8]| {
            [bytes(1, id.as_bytes()), bytes(2, tenant), number(4, 1), person(1)].concat()
        };
        for (what, text) in odd() {
            self.add(format!("job_id: {what}"), |_| with_id(text.as_bytes()), Fate::Dead("BAD_JOB_ID"));
            self.add(
                format!("tenant: {what}"),
                |id| with_tenant(id, text.as_bytes()),
                Fate::Dead("BAD_TENANT"),
            );
            for field in [3, 6, 10] {
                self.after(format!("field {field}: {what}"), &bytes(field, text.as_bytes()), BAD_FIELD);
            }
            self.after(format!("sender: {what}"), &bytes(7, text.as_bytes()), routed(2));
            self.after(format!("content_type: {what}"), &bytes(13, text.as_bytes()), routed(2));
        }
        self.add("job_id of 129", |_| with_id(&[b'x'; 129]), Fate::Dead("BAD_JOB_ID"));
        self.add("tenant of 65", |id| with_tenant(id, &[b'x'; 65]), Fate::Dead("BAD_TENANT"));
        self.add("tenant of 64", |id| with_tenant(id, &[b'x'; 64]), routed(1));
        self.add("job_id empty", |_| with_id(b""), Fate::Dead("MISSING_JOB_ID"));
        self.add("tenant empty", |id| with_tenant(id, b""), Fate::Dead("MISSING_TENANT"));
        let longest = "x".repeat(128);
        let value = with_id(longest.as_bytes());
        self.0.push(Case { name: "job_id of 128".into(), job_id: longest, value, fate: routed(1) });
        for field in [3, 6, 10] {
            self.after(format!("field {field} of 128"), &bytes(field, &[b'x'; 128]), routed(2));
            self.after(format!("field {field} of 129"), &bytes(field, &[b'x'; 129]), BAD_FIELD);
        }
        self.after("sender of 128 bytes", &bytes(7, "é".repeat(64).as_bytes()), routed(2));
        self.after("sender of 129 bytes", &bytes(7, &[b'x'; 129]), BAD_FIELD);
        self.after("sender of 1 MiB", &bytes(7, &vec![b'x'; 1 << 20]), BAD_FIELD);
    }

    fn numbers(&mut self) {
        let with_channel =
            |id: &str, channel: Vec<u8>| [head(id)[..2].concat(), channel, person(1), person(2)].concat();
        let channel = |n: u64| move |id: &str| with_channel(id, number(4, n));
        self.add("channel 0", channel(0), BAD_FIELD);
        self.add("channel 6", channel(6), BAD_FIELD);
        self.add("channel -1", channel(u64::MAX), BAD_FIELD);
        // Every protobuf reader keeps the low 32 bits of an enum.
        self.add("channel 2^32 + 1", channel(1 << 32 | 1), routed(2));
        self.add(
            "channel as a longer varint than it needs",
            |id| with_channel(id, vec![0x20, 0x81, 0x80, 0]),
            routed(2),
        );
        self.add("no channel", |id| with_channel(id, Vec::new()), BAD_FIELD);
        self.after("purpose 3", &number(5, 3), BAD_FIELD);
        self.after("purpose -1", &number(5, u64::MAX), BAD_FIELD);
        let (first, last) = (i64::MIN.cast_unsigned(), i64::MAX.cast_unsigned());
        self.after("not before the end of time", &number(8, last), Fate::Timed(Verdict::Deferred));
        self.after("not before the beginning of time", &number(8, first), routed(2));
        self.after("not after the end of time", &number(9, last), routed(2));
        self.after("not after the beginning of time", &number(9, first), Fate::Timed(Verdict::Expired));
        self.after("not after -1", &number(9, u64::MAX), Fate::Timed(Verdict::Expired));
    }

    fn recipients(&mut self) {
        use RejectReason::{DuplicateRecipient, InvalidAddress, MalformedRecipient, MissingAddress};
        let address = |text: &[u8]| bytes(1, text);
        let one = address(b"+33639981001");
        self.recipient("empty recipient", b"", Some(MissingAddress));
        self.recipient("blank address", &address(b" \t\n"), Some(MissingAddress));
        self.recipient("contact alone", &bytes(2, b"camille"), Some(MissingAddress));
        self.recipient("an address that is none", &address(b"camille"), Some(InvalidAddress));
        self.recipient("the same as the next", &address(b"+33 6 39 98 10 02"), None);
        if let Some(last) = self.0.last_mut() {
            last.fate = Fate::Decided(Verdict::Routed, 1, vec![(DuplicateRecipient, 1)]);
        }
        for field in [1, 2, 4, 5] {
            let twice = [one.clone(), bytes(field, b"")].concat().repeat(2);
            self.recipient(format!("recipient's field {field} twice"), &twice, Some(MalformedRecipient));
        }
        self.recipient(
            "fields twice",
            &[one.clone(), bytes(3, b"a").repeat(2)].concat(),
            Some(MalformedRecipient),
        );
        self.recipient(
            "truncated in a field",
            &[one.clone(), vec![0x12, 5]].concat(),
            Some(MalformedRecipient),
        );
        self.recipient(
            "length of 2^32",
            &[one.clone(), vec![0x12], varint(1 << 32)].concat(),
            Some(MalformedRecipient),
        );
        self.recipient("group", &[one.clone(), vec![0x3b, 0x3c]].concat(), Some(MalformedRecipient));
        self.recipient("address as a number", &number(1, 33_639_981_001), Some(MalformedRecipient));
        self.recipient("field number 0", &[one.clone(), vec![2, 0]].concat(), Some(MalformedRecipient));
        for (field, what) in [(1, "address"), (2, "contact"), (4, "time_zone"), (5, "postal")] {
            let body = if field == 5 { bytes(5, &bytes(1, b"\xff")) } else { bytes(field, b"\xff") };
            self.recipient(format!("{what}: not UTF-8"), &body, Some(MalformedRecipient));
        }
        let twice = bytes(5, &bytes(1, b"a").repeat(2));
        self.recipient("postal name twice", &[one.clone(), twice].concat(), Some(MalformedRecipient));
        self.recipient(
            "personalisation that is no text",
            &[one.clone(), bytes(3, b"\xff\x00")].concat(),
            None,
        );
        self.recipient("unknown fields", &[one.clone(), bytes(9, b"x"), number(1_000, 1)].concat(), None);
        let mut nested = Vec::new();
        for _ in 0..2_000 {
            nested = bytes(9, &nested);
        }
        self.recipient("unknown fields in each other, 2,000 deep", &[one.clone(), nested].concat(), None);
        let mut nested = Vec::new();
        for _ in 0..2_000 {
            nested = bytes(5, &nested);
        }
        self.recipient("postal addresses in each other", &[one, nested].concat(), Some(MalformedRecipient));
        for (what, text) in odd() {
            let rejected = (what != "space inside").then_some(InvalidAddress);
            self.recipient(format!("address: {what}"), &address(text.as_bytes()), rejected);
        }
    }

    fn sizes(&mut self) {
        use RejectReason::{InvalidAddress, MissingAddress};
        let nobody = |count: usize| bytes(15, b"").repeat(count);
        let most = u32::try_from(RECIPIENTS_MAX).expect("the limit is small");
        self.add(
            "100,000 who are nobody",
            |id| [head(id).concat(), nobody(RECIPIENTS_MAX)].concat(),
            empty(&[(MissingAddress, most)]),
        );
        self.add(
            "100,001 recipients",
            |id| [head(id).concat(), nobody(RECIPIENTS_MAX + 1)].concat(),
            Fate::Refused("TOO_MANY_RECIPIENTS"),
        );
        let mega = 1 << 20;
        self.after("unknown field of 1 MiB", &bytes(500, &vec![0xff; mega]), routed(2));
        self.after("100,000 unknown fields", &number(500, 1).repeat(100_000), routed(2));
        let long = |c: &str| bytes(1, c.repeat(mega / c.len()).as_bytes());
        for (what, c) in [("digits", "1"), ("letters", "a"), ("domains", "a@ü."), ("soft hyphens", "\u{ad}")]
        {
            self.recipient(format!("address of 1 MiB of {what}"), &long(c), Some(InvalidAddress));
        }
        let mail = |id: &str| [head(id)[..2].concat(), number(4, 2)].concat();
        for (what, domain) in
            [("labels", "ü."), ("one label", "ü"), ("soft hyphens", "\u{ad}"), ("punycode", "xn--a")]
        {
            let address = format!("camille@{}", domain.repeat(mega / domain.len()));
            self.add(
                format!("e-mail address of 1 MiB: {what}"),
                |id| [mail(id), bytes(15, &bytes(1, address.as_bytes()))].concat(),
                empty(&[(InvalidAddress, 1)]),
            );
        }
        self.recipient(
            "personalisation of 1 MiB",
            &[bytes(1, b"+33639981001"), bytes(3, &vec![0; mega])].concat(),
            None,
        );
    }
}

/// Texts that are UTF-8 and outside every alphabet, and no telephone number but for the first.
fn odd() -> [(&'static str, &'static str); 9] {
    [
        ("space inside", "+33 639981001"),
        ("NUL", "camille\0"),
        ("a byte order mark", "\u{feff}camille"),
        ("right to left", "camille\u{202e}moc"),
        ("a line's end", "camille\r\nx: y"),
        ("an escape", "camille\u{1b}[2J"),
        ("a slash", "../camille"),
        ("a letter that looks like another", "аcme"),
        ("an e-mail address", "camille@example.org"),
    ]
}
