//! Lists in, lists out: against plain sentences, against the line's own decision, in every dialect, and hostile ones.

use std::collections::HashSet;
use std::convert::Infallible;

use proptest::prelude::*;
use tamis_campaign::{Identity, Purpose, RecordReason};
use tamis_policy::Policy;
use tamis_sieve::Sieve;
use tamis_subject::{Key, Region};
use tamis_suppression::{Index, Places};
use tamis_wire::proto::campaign::v1 as proto;
use tamis_wire::record::{Record, Scope};
use tamis_wire::{JobView, Message as _, Spans};

use super::*;

const NOW: i64 = 1_000;

/// A filter of some records, asked as a command asks it.
struct Known<'i> {
    index: &'i Index,
    list: &'i str,
    purpose: Purpose,
    channel: Channel,
    needs_consent: bool,
}

impl Filter for Known<'_> {
    type Error = Infallible;

    fn reasons(&mut self, subjects: &[Subject], reasons: &mut Vec<Option<Reason>>) -> Result<(), Infallible> {
        assert!(subjects.len() <= batch::ROWS_MAX, "memory is flat");
        let Self { index, list, purpose, channel, needs_consent } = *self;
        let selection = index.selection("acme", list, channel, purpose, needs_consent);
        selection.reasons(subjects, NOW, reasons);
        Ok(())
    }
}

fn subjects() -> Subjects {
    Subjects::new(&Key::generate().expect("a key"), Region::parse("FR").expect("a region"))
}

fn record(subject: Subject, scope: Scope, reason: RecordReason) -> Record {
    Record { reason, ..Record::plain(subject, scope) }
}

fn index(records: &[Record]) -> Index {
    let mut index = Index::new(1);
    for (offset, record) in (0..).zip(records) {
        index.apply(0, offset, 0, record).expect("all is in memory");
    }
    index
}

fn ask(channel: Channel) -> Ask<'static> {
    let tenant = Tenant::parse("acme").expect("a tenant");
    Ask { tenant, channel, format: None, header: true, named: &[], keep_duplicates: false, escape: false }
}

/// Cleans `list` of everybody in `records`.
fn cleaned(
    ask: &Ask<'_>,
    subjects: &Subjects,
    records: &[Record],
    list: &[u8],
) -> Result<(Vec<u8>, Report), Error<Infallible>> {
    let index = index(records);
    let (purpose, channel) = (Purpose::Marketing, ask.channel);
    let mut filter = Known { index: &index, list: "", purpose, channel, needs_consent: false };
    let mut out = Vec::new();
    let report = scrub(ask, subjects, &mut filter, list, &mut out)?;
    assert!(report.books_close());
    Ok((out, report))
}

/// A list of numbers from which 06 39 98 12 34 is to go.
fn without_1234(ask: &Ask<'_>, list: &str) -> (String, Report) {
    let subjects = subjects();
    let subject = match ask.channel {
        Channel::Email => subjects.email("lea@example.org").expect("an address"),
        _ => subjects.phone("+33639981234").expect("a number"),
    };
    let records = [record(subject, Scope::Tenant("acme".into()), RecordReason::StopReply)];
    let (out, report) = cleaned(ask, &subjects, &records, list.as_bytes()).expect("a list");
    (String::from_utf8(out).expect("UTF-8"), report)
}

fn places(report: &Report, reason: RejectReason) -> Vec<u32> {
    report.rejected.get(&reason).map(|places| places.iter().collect()).unwrap_or_default()
}

/// Guarantees: whatever the separator, quotes, line ends, byte order mark and columns are, rows that are kept are the list's own
/// bytes, in order.
/// Fails when: a row is written anew; a mark or a blank line is lost; a quoted line end ends a row.
#[test]
fn what_is_kept_is_the_lists_own_bytes_in_every_dialect() {
    for (list, kept) in [
        ("mobile\n+33639981234\n+33639981235\n", "mobile\n+33639981235\n"),
        (
            "\u{feff}Nom;Mobile\r\nA;06 39 98 12 34\r\nB;+33639981235\r\n",
            "\u{feff}Nom;Mobile\r\nB;+33639981235\r\n",
        ),
        ("id\ttel\n1\t+33639981234\n2\t+33639981235", "id\ttel\n2\t+33639981235"),
        ("id|tel\n1|+33639981235\n2|+33639981234", "id|tel\n1|+33639981235\n"),
        (
            "\"tel\",\"note, long\"\n\"+33639981234\",\"a\nb\"\n\"+33639981235\",\"a\n\"\"b\"\"\"\n",
            "\"tel\",\"note, long\"\n\"+33639981235\",\"a\n\"\"b\"\"\"\n",
        ),
        ("\n\r\ntel\n\n+33639981235\n\n+33639981234\n\n", "\n\r\ntel\n\n+33639981235\n\n\n"),
        (
            "{\"address\":\"+33639981234\"}\n {\"x\": 1, \"address\" : \"0639981235\"}\r\n",
            " {\"x\": 1, \"address\" : \"0639981235\"}\r\n",
        ),
    ] {
        let (out, report) = without_1234(&ask(Channel::Sms), list);
        assert_eq!(out, kept, "{list:?}");
        assert_eq!((report.rows, report.kept), (2, 1), "{list:?}");
        assert_eq!(report.suppressed.keys().collect::<Vec<_>>(), [&Reason::StopReply]);
    }
    let (out, _) = without_1234(&ask(Channel::Email), "nom;courriel\na;LEA@example.org\nb;bob@example.org\n");
    assert_eq!(out, "nom;courriel\nb;bob@example.org\n");
}

/// Guarantees: columns and fields may be named, by name or number, and a list may have no row of names.
#[test]
fn columns_are_those_that_are_named() {
    let of = |what: What, name: &str| vec![(what, name.to_owned())];
    let named = of(What::Address, "B");
    let asked = Ask { named: &named, ..ask(Channel::Sms) };
    assert_eq!(without_1234(&asked, "a,b\n1,+33639981234\n1,0639981235\n").0, "a,b\n1,0639981235\n");
    assert_eq!(
        without_1234(&asked, "{\"B\":\"0639981234\"}\n{\"B\":\"0639981235\"}\n").0,
        "{\"B\":\"0639981235\"}\n"
    );
    let bare = Ask { header: false, ..ask(Channel::Sms) };
    assert_eq!(without_1234(&bare, "+33639981234\n+33639981235\n").0, "+33639981235\n");
    assert_eq!(without_1234(&bare, "\u{feff}+33639981234\n+33639981235\n").0, "\u{feff}+33639981235\n");
    let named = of(What::Address, "2");
    let second = Ask { named: &named, ..bare };
    assert_eq!(without_1234(&second, "1;+33639981234\n2;0639981235\n").0, "2;0639981235\n");
}

/// Guarantees the order of judgement, and that duplicates go by address alone: only a row that was kept makes one.
#[test]
fn every_row_has_the_first_fate_that_holds() {
    let list = "tel,contact\n+33639981234,c\nnobody,c\n ,c\n+33639981235,c\n0639981235,d\n+33639981234,c\n\
                +33639981236\n+33639981237,\"c\"d\n";
    let (out, report) = without_1234(&ask(Channel::Sms), list);
    assert_eq!(out, "tel,contact\n+33639981235,c\n");
    assert_eq!(report.suppressed[&Reason::StopReply].iter().collect::<Vec<_>>(), [0, 5]);
    assert_eq!(places(&report, RejectReason::InvalidAddress), [1]);
    assert_eq!(places(&report, RejectReason::MissingAddress), [2]);
    assert_eq!(places(&report, RejectReason::DuplicateRecipient), [4]);
    assert_eq!(places(&report, RejectReason::MalformedRecipient), [6, 7]);
    let first = report.first_malformed.expect("there are two");
    assert_eq!(first.to_string(), "line 8: expected as many cells as the first row has");
    let (out, report) = without_1234(&Ask { keep_duplicates: true, ..ask(Channel::Sms) }, list);
    assert_eq!(out, "tel,contact\n+33639981235,c\n0639981235,d\n");
    assert_eq!(places(&report, RejectReason::DuplicateRecipient), [0; 0]);
}

/// Guarantees: people of a postal list are found by name and address, and by their contact.
#[test]
fn postal_lists_and_contacts_are_cleaned_too() {
    let subjects = subjects();
    let street = "12 avenue des Tests";
    let postal =
        Postal { name: "Léa Exemple", street, postal_code: "75001", country: "FR", ..Postal::default() };
    let tenant = Tenant::parse("acme").expect("a tenant");
    let of = |subject| record(subject, Scope::Tenant("acme".into()), RecordReason::Objected);
    let mut contact = of(subjects.contact(tenant, b"c-7"));
    contact.identity = Identity::Contact;
    let records = [of(subjects.postal(&postal).expect("an address")), contact];
    let list = "Nom;Adresse;Code postal;Ville;Pays;contact\nLEA EXEMPLE;12, av. des tests;75001;Paris;FR;c-1\n\
                Bob;1 rue X;75002;Paris;FR;c-2\nAl;2 rue X;75002;Paris;FR;c-7\n;;;;;\nZoé;3 rue X;75002;Paris;;c-3\n";
    let (out, report) = cleaned(&ask(Channel::Mail), &subjects, &records, list.as_bytes()).expect("a list");
    assert_eq!(
        String::from_utf8(out).expect("UTF-8"),
        "Nom;Adresse;Code postal;Ville;Pays;contact\nBob;1 rue X;75002;Paris;FR;c-2\n"
    );
    assert_eq!(report.suppressed[&Reason::Objected].iter().collect::<Vec<_>>(), [0, 2]);
    assert_eq!(places(&report, RejectReason::MissingAddress), [3]);
    assert_eq!(places(&report, RejectReason::InvalidAddress), [4]);
    let list = "{\"contact\":\"c-1\",\"postal\":{\"name\":\"Léa Exemple\",\"street\":\"12 av des Tests\",\
                \"postal_code\":\"75001\",\"city\":\"Paris\",\"country\":\"FR\"}}\n{\"contact\":\"c-9\"}\n";
    let (out, report) = cleaned(&ask(Channel::Mail), &subjects, &records, list.as_bytes()).expect("a list");
    assert_eq!((out.len(), report.kept), (0, 0));
    assert_eq!(places(&report, RejectReason::MissingAddress), [1]);
}

/// Guarantees: with `escape` no cell of a row that is kept is a formula, of the first row neither; without, it is as it came.
#[test]
fn formulas_are_escaped_when_that_is_asked() {
    let list = "tel;=note\n+33639981235;\"=1+1\"\n+33639981234;=2\n";
    let (out, report) = without_1234(&ask(Channel::Sms), list);
    assert_eq!((&*out, report.formulas), ("tel;=note\n+33639981235;\"=1+1\"\n", 1), "of rows that are kept");
    let asked = Ask { escape: true, ..ask(Channel::Sms) };
    let (out, report) = without_1234(&asked, list);
    assert_eq!((&*out, report.formulas), ("tel;'=note\n+33639981235;\"'=1+1\"\n", 1));
}

/// Guarantees: a file that is not what it says is refused by the line where that shows and what was expected there, and nothing of
/// it is repeated.
/// Fails when: an open quote takes the rest of the list along as one cell; another kind of file is read as rows of something.
#[test]
fn hostile_files_are_refused_by_line_and_without_their_words() {
    let long = format!("tel;x\n+33639981235;\"{}\n", "Camille 0639981234\n".repeat(70_000));
    let cases: Vec<(&[u8], u64)> = vec![
        (b"", 1),
        (b"\n\n", 3),
        (b"Camille;0639981234\nBob;0639981235\n", 1),
        (b"tel;x\n+33639981235;\"Camille\n+33639981236;y\n", 2),
        (b"tel;x\r+33639981235;y\r+33639981236;y\r", 1),
        (b"\xff\xfet\0e\0l\0\n\0", 1),
        (b"PK\x03\x04Camille", 1),
        (b"t\0l\nCamille\n", 1),
        (b"tel;x\nCamille\nBob\n", 2),
        (b"{\"address\":12}\n{\"Camille\n", 1),
        (b"\"tel\"Camille;x\n", 1),
        (long.as_bytes(), 2),
    ];
    for (list, line) in cases {
        let error = cleaned(&ask(Channel::Sms), &subjects(), &[], list).expect_err("it is none");
        let told = format!("{error} {error:?}");
        assert!(matches!(&error, Error::Bad(bad) if bad.line == line), "{told}, not line {line}");
        if list.ends_with(b";y\n") {
            assert!(told.contains("a quote that is closed"), "{told}");
        }
        assert!(told.contains("expected") && !told.contains("Camille") && !told.contains("3998"), "{told}");
    }
}

/// Guarantees: rows and columns past their limits are refused, those at the limit are not.
#[test]
fn a_row_has_a_greatest_length() {
    let row = |bytes: usize| format!("tel\n+33639981235{}\n", " ".repeat(bytes - "+33639981235\n".len()));
    let most = row(rows::ROW_BYTES_MAX);
    assert_eq!(without_1234(&ask(Channel::Sms), &most).0.len(), most.len());
    let list = row(rows::ROW_BYTES_MAX + 1);
    let refused = cleaned(&ask(Channel::Sms), &subjects(), &[], list.as_bytes()).expect_err("it is too long");
    assert!(refused.to_string().starts_with("line 2: expected a row of 1 MiB at most"), "{refused}");
}

/// A reader that gives a few bytes at a time.
struct Slow<'b>(&'b [u8], usize);

impl Read for Slow<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.1.min(self.0.len()).min(into.len());
        into[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

/// A row of a random list: whose, how it is written, and its contact.
#[derive(Debug, Clone, Copy)]
struct Made {
    person: u8,
    writing: u8,
    contact: u8,
}

impl Made {
    fn address(self) -> String {
        match self.writing {
            0 => String::new(),
            1 => "nobody".to_owned(),
            2 => format!("06 39 98 12 0{}", self.person),
            _ => format!("+3363998120{}", self.person),
        }
    }

    fn contact(self) -> String {
        if self.contact < 4 { format!("c{}", self.contact) } else { String::new() }
    }
}

fn made() -> impl Strategy<Value = Made> {
    (0u8..10, 0u8..9, 0u8..9).prop_map(|(person, writing, contact)| Made { person, writing, contact })
}

/// Somebody (a contact past 9), in a scope, for a reason.
fn known() -> impl Strategy<Value = (u8, u8, RecordReason)> {
    let reason = prop_oneof![prop::sample::select(RecordReason::ALL), Just(RecordReason::Consent)];
    (0u8..14, 0u8..5, reason)
}

fn scope(number: u8) -> Scope {
    let list = |tenant: &str, list: &str| Scope::List { tenant: tenant.into(), list: list.into() };
    match number {
        0 => Scope::Platform,
        1 => Scope::Tenant("acme".into()),
        2 => Scope::Tenant("other".into()),
        3 => list("acme", "news"),
        _ => list("acme", "other"),
    }
}

/// What a list is looked at for.
#[derive(Clone, Copy)]
struct Of {
    list: &'static str,
    purpose: Purpose,
    needs_consent: bool,
}

/// The fate of each row, as plainly as the contract says it.
fn plain(rows: &[Made], records: &[(u8, u8, RecordReason)], of: Of) -> Vec<String> {
    let Of { list, purpose, needs_consent } = of;
    let mut kept = HashSet::new();
    let applies = |scope: u8| scope < 2 || (scope == 3 && list == "news");
    let fate = |row: &Made| {
        let of_row = |who: u8| who == row.person || (row.contact < 4 && who == row.contact + 10);
        let records = records.iter().filter(|(who, scope, _)| of_row(*who) && applies(*scope));
        let reasons = records.map(|(.., reason)| *reason);
        let reason = reasons.clone().filter_map(RecordReason::drops).filter(|r| r.drops(purpose)).min();
        let needs_consent = needs_consent && purpose == Purpose::Marketing;
        match (row.writing, reason) {
            (0, _) => "missing_address".to_owned(),
            (1, _) => "invalid_address".to_owned(),
            (_, Some(reason)) => reason.as_str().to_owned(),
            _ if needs_consent && !reasons.clone().any(|r| r == RecordReason::Consent) => {
                "no_consent".to_owned()
            }
            (_, None) if !kept.insert(row.person) => "duplicate_recipient".to_owned(),
            (_, None) => "kept".to_owned(),
        }
    };
    rows.iter().map(fate).collect()
}

/// The same, by a report.
fn told(report: &Report) -> Vec<String> {
    let mut fates = vec!["kept".to_owned(); report.rows as usize];
    let suppressed = report.suppressed.iter().map(|(reason, places)| (reason.as_str(), places));
    let rejected = report.rejected.iter().map(|(reason, places)| (reason.as_str(), places));
    for (reason, places) in suppressed.chain(rejected) {
        places.iter().for_each(|place| fates[place as usize] = reason.to_owned());
    }
    fates
}

/// The same, by the line, for a job with the rows as its recipients.
fn decided(rows: &[Made], index: &Index, subjects: &Subjects, of: Of) -> Vec<String> {
    let recipient = |row: &Made| proto::Recipient {
        address: row.address(),
        contact: row.contact(),
        ..Default::default()
    };
    let job = proto::SendJob {
        job_id: "j".to_owned(),
        tenant: "acme".to_owned(),
        channel: Channel::Sms.number(),
        purpose: of.purpose.number(),
        list: of.list.to_owned(),
        recipients: rows.iter().map(recipient).collect(),
        ..Default::default()
    };
    let bytes = job.encode_to_vec();
    let mut spans = Spans::default();
    let view = JobView::parse(&bytes, &mut spans).expect("a job");
    let mut sieve = Sieve::new(subjects.clone());
    if of.needs_consent {
        let policy = "version = \"1\"\n[[tenant]]\nid = \"acme\"\nconsent_required = [\"sms\"]\n";
        sieve.use_policy(&Policy::parse(policy).expect("a policy").into());
    }
    let decision = sieve.decide(&view, &bytes, &spans, index, NOW);
    let mut fates = vec!["kept".to_owned(); rows.len()];
    let groups = decision.suppressed().map(|(reason, _, bytes)| (reason.as_str(), bytes.to_vec()));
    let rejected = decision.rejected().map(|(reason, _, bytes)| (reason.as_str(), bytes.to_vec()));
    for (reason, bytes) in groups.chain(rejected) {
        let places = Places::from_bytes(&bytes).expect("places");
        places.iter().for_each(|place| fates[place as usize] = reason.to_owned());
    }
    fates
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Guarantees G3 and G6 for lists: a row is kept if and only if no record applies to it, a consent does where one is needed, it is
    /// an address, and it was not kept before; and that is what the line decides for a job with these recipients. However the list
    /// comes in, and in both formats.
    /// Fails when: a batch's numbers are mixed up; a contact's reason, or consent, goes to somebody else; the order of judgement
    /// changes.
    #[test]
    fn g3_g6_a_row_is_kept_if_and_only_if_no_record_applies(
        rows in prop::collection::vec(made(), 1..60), known in prop::collection::vec(known(), 0..12),
        news: bool, service: bool, needs_consent: bool, ndjson: bool, piece in 1usize..40,
    ) {
        let subjects = subjects();
        let (list, purpose) = (if news { "news" } else { "" }, if service { Purpose::Service } else { Purpose::Marketing });
        let of = Of { list, purpose, needs_consent };
        let records: Vec<Record> = known.iter().map(|&(who, number, reason)| {
            let tenant = Tenant::parse("acme").expect("a tenant");
            let contact = who > 9;
            let subject = if contact {
                subjects.contact(tenant, format!("c{}", who - 10).as_bytes())
            } else {
                subjects.phone(&format!("+3363998120{who}")).expect("a number")
            };
            let identity = if contact { Identity::Contact } else { Identity::Phone };
            Record { identity, ..record(subject, scope(number), reason) }
        }).collect();
        let index = index(&records);
        let lines: Vec<String> = rows.iter().enumerate().map(|(n, row)| if ndjson {
            format!("{{\"n\":{n},\"contact\":\"{}\",\"address\":\"{}\"}}\n", row.contact(), row.address())
        } else {
            format!("{n},{},\"{}\"\r\n", row.contact(), row.address())
        }).collect();
        let head = if ndjson { "" } else { "n,contact,tel\r\n" };
        let text = head.to_owned() + &lines.concat();
        let mut filter = Known { index: &index, list, purpose, channel: Channel::Sms, needs_consent };
        let mut out = Vec::new();
        let report = scrub(&ask(Channel::Sms), &subjects, &mut filter, Slow(text.as_bytes(), piece), &mut out).expect("a list");

        let expected = plain(&rows, &known, of);
        prop_assert_eq!(&told(&report), &expected);
        prop_assert_eq!(&decided(&rows, &index, &subjects, of), &expected);
        let kept = lines.iter().zip(&expected).filter(|(_, fate)| *fate == "kept").map(|(line, _)| line.as_str());
        prop_assert_eq!(String::from_utf8(out).expect("UTF-8"), head.to_owned() + &kept.collect::<String>());
        prop_assert!(report.books_close());
    }

    /// Guarantees: no bytes end the process, and what comes out is lines of the list, in order.
    #[test]
    fn any_bytes_are_a_list_or_refused(text in "(tel[,;]x\n)?([+]33639981234|[+]33639981235|[,;\"\r\n=x{}]){0,30}") {
        let subjects = subjects();
        let records = [record(subjects.phone("+33639981234").expect("a number"), Scope::Platform, RecordReason::Blocked)];
        for format in [Format::Csv, Format::Ndjson] {
            let ask = Ask { format: Some(format), ..ask(Channel::Sms) };
            let Ok((out, report)) = cleaned(&ask, &subjects, &records, text.as_bytes()) else { continue };
            let out = String::from_utf8(out).expect("UTF-8");
            let mut left = text.as_str();
            for line in out.split_inclusive('\n') {
                let at = left.find(line);
                prop_assert!(at.is_some(), "it is a line of the list, in order");
                left = &left[at.expect("just asked") + line.len()..];
            }
            prop_assert!(report.books_close());
        }
    }
}
