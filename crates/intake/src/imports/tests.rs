//! Reading, without a log: every dialect gives the same rows, layouts are told apart, and hostile files are bounded.

use std::io::{self, Read};

use proptest::prelude::*;
use tamis_campaign::{Channel, RecordReason};
use tamis_subject::{Key, Region, Subjects};

use super::layouts::{Header, Unfit};
use super::plan::Plan;
use super::reading::{Broken, COLUMNS_MAX, Hint, Next, ROW_BYTES_MAX, Reader, Row};
use super::rows::{Code, Draft, Maker};
use super::text::{Decoder, Encoding};
use crate::keys::Owner;

/// Bytes that come in pieces of a size.
struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.0.len().min(self.1).min(into.len());
        let (piece, rest) = self.0.split_at(length);
        into[..length].copy_from_slice(piece);
        self.0 = rest;
        Ok(length)
    }
}

/// A row's line, and its fields or what is wrong with it.
type Line = (u64, Result<Vec<String>, Code>);
/// What becomes of a file's rows.
type Drafts = (Option<Header>, Vec<Result<Draft, Code>>);
/// What is recorded of a row.
type Fate = Result<(Option<Channel>, RecordReason), Code>;

/// Every row of a file: its line, and its fields or what is wrong with it.
fn rows(bytes: &[u8], piece: usize, hint: Hint) -> Result<Vec<Line>, Broken> {
    let mut reader = Reader::open(Pieces(bytes, piece), hint)?.expect("text");
    let (mut decoder, mut row, mut all) = (Decoder::new(hint.encoding), Row::default(), Vec::new());
    loop {
        let read = match reader.next(&mut row)? {
            Next::End => return Ok(all),
            Next::TooLong => Err(Code::LineTooLong),
            Next::TooManyColumns => Err(Code::TooManyColumns),
            Next::Row => decoder.decode(&mut row),
        };
        let fields = || (0..row.columns()).map(|at| row.text(at).to_owned()).collect();
        all.push((row.line, read.map(|()| fields())));
    }
}

fn fields(bytes: &[u8]) -> Vec<Vec<String>> {
    let rows = rows(bytes, 7, Hint::default()).expect("whole");
    rows.into_iter().map(|(_, row)| row.expect("a row")).collect()
}

/// How a CSV is written.
#[derive(Debug, Clone)]
struct Dialect {
    delimiter: char,
    end: &'static str,
    quote_all: bool,
    bom: bool,
    latin: bool,
    last_end: bool,
    piece: usize,
}

fn dialects() -> impl Strategy<Value = Dialect> {
    let delimiter = prop::sample::select(vec![',', ';', '\t', '|']);
    let end = prop::sample::select(vec!["\n", "\r\n", "\r"]);
    (delimiter, end, any::<[bool; 4]>(), 1..40_usize).prop_map(
        |(delimiter, end, [quote_all, bom, latin, last_end], piece)| Dialect {
            delimiter,
            end,
            quote_all,
            bom: bom && !latin,
            latin,
            last_end,
            piece,
        },
    )
}

fn written(rows: &[Vec<String>], dialect: &Dialect) -> Vec<u8> {
    let field = |text: &String| {
        let must = text.contains([dialect.delimiter, '"', '\n', '\r']) || text.is_empty();
        if must || dialect.quote_all { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.clone() }
    };
    let separator = dialect.delimiter.to_string();
    let lines: Vec<String> =
        rows.iter().map(|row| row.iter().map(field).collect::<Vec<_>>().join(&separator)).collect();
    let mut text = lines.join(dialect.end);
    if dialect.last_end {
        text.push_str(dialect.end);
    }
    let mut bytes = if dialect.bom { b"\xef\xbb\xbf".to_vec() } else { Vec::new() };
    if dialect.latin {
        bytes.extend(
            text.chars().map(|c| u8::try_from(u32::from(c)).expect("of Latin-1, as the strategy makes them")),
        );
    } else {
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

proptest! {
    /// Guarantees: a row reads back as it was written, whatever the delimiter, quotes, line ends, encoding and pieces are.
    /// Fails when: a delimiter within quotes is one, a piece's end is a row's, or an encoding is taken for the other.
    #[test]
    fn any_row_reads_back_the_same_in_every_dialect(
        names in 2..5_usize,
        cells in prop::collection::vec("[a-z0-9@.,;|\t\"\n éàüÿ+-]{0,12}", 4..40),
        dialect in dialects(),
    ) {
        let header = (0..names).map(|n| format!("column {n}")).collect();
        let mut rows_in: Vec<Vec<String>> = vec![header];
        // An accent at the end of each row, so that each tells its encoding; none that ends the fields in two.
        rows_in.extend(cells.chunks_exact(names).map(|row| {
            let mut row = row.to_vec();
            row[names - 1].push('é');
            row
        }));
        let bytes = written(&rows_in, &dialect);
        let hint = Hint { encoding: dialect.latin.then_some(Encoding::Windows1252), ..Hint::default() };
        let read = rows(&bytes, dialect.piece, hint).expect("whole");
        let read: Vec<Vec<String>> = read.into_iter().map(|(_, row)| row.expect("a row")).collect();
        prop_assert_eq!(read, rows_in);
    }

    /// Guarantees: whatever the bytes and pieces, reading ends, never panics, and gives the same whole or in pieces.
    #[test]
    fn any_bytes_read_the_same_whole_and_in_pieces(bytes in prop::collection::vec(any::<u8>(), 0..400), piece in 1..50_usize) {
        let read = |piece| match Reader::open(Pieces(&bytes, piece), Hint::default()) {
            Ok(Ok(_)) => rows(&bytes, piece, Hint::default()).map_err(|broken| broken.to_string()).ok(),
            _ => None,
        };
        prop_assert_eq!(read(piece), read(1_000));
    }
}

#[test]
fn the_delimiter_is_found_outside_of_quotes() {
    assert_eq!(fields(b"\"a,b,c\";d\n1;2\n"), [["a,b,c", "d"], ["1", "2"]]);
    assert_eq!(fields(b"a\tb\n1\t2,3"), [["a", "b"], ["1", "2,3"]]);
    assert_eq!(fields(b"a|b\r\n\r\n1|2"), [["a", "b"], ["1", "2"]]);
    assert_eq!(fields("adresse\n1\n".as_bytes()), [["adresse"], ["1"]]);
}

/// Guarantees: a row's line is where it begins, over empty lines, line ends in quotes and both kinds of them.
#[test]
fn a_rows_line_is_where_it_begins() {
    let lines = |bytes: &[u8]| {
        rows(bytes, 3, Hint::default()).expect("whole").iter().map(|row| row.0).collect::<Vec<_>>()
    };
    assert_eq!(lines(b"a,b\r\n\r\n\"x\r\ny\",z\r\nc,d\r\n"), [1, 3, 5]);
    assert_eq!(lines(b"\n\na,b\n1,2"), [3, 4]);
    assert_eq!(lines(b"{\"a\":1}\n\n{}\n"), [1, 3]);
}

/// Guarantees: an encoding is found from the first row that tells, kept, and never guessed anew: a row that does not fit is told.
#[test]
fn a_row_in_another_encoding_is_told_and_not_guessed() {
    let codes = |bytes: &[u8]| -> Vec<Option<Code>> {
        rows(bytes, 99, Hint::default()).expect("whole").into_iter().map(|(_, row)| row.err()).collect()
    };
    assert_eq!(codes(b"a\nJos\xe9\nb\xe8\n"), [None; 3]);
    assert_eq!(codes("é\nb\n".as_bytes()), [None; 2]);
    assert_eq!(codes(b"\xc3\xa9\nb\xe9\nc\n"), [None, Some(Code::NotUtf8), None]);
    assert_eq!(codes(b"b\xe9\n\xc3\xa9\nc\n"), [None, Some(Code::MixedEncoding), None]);
    assert_eq!(codes(b"a\nb\0c\n"), [None, Some(Code::NotText)]);
    assert_eq!(fields(b"nom\n\x80uro Jos\xe9\n")[1], ["€uro José"]);
    // Two halves of a letter in two fields are no letter.
    assert_eq!(fields(b"a,b\nx\xc3,\xa9y\n")[1], ["xÃ", "©y"]);
}

/// Guarantees: rows and columns of the greatest length are read, longer ones are told, and the next row is whole.
/// Fails when: a limit is off by one, or what follows is taken for the rest.
#[test]
fn rows_and_columns_have_a_greatest_length() {
    let codes = |text: &str| -> Vec<Option<Code>> {
        let rows =
            rows(text.as_bytes(), 10_000, Hint { csv: Some(!text.starts_with('{')), ..Hint::default() });
        rows.expect("whole").into_iter().map(|(_, row)| row.err()).collect()
    };
    let long = |count: usize| format!("a,b\n{},\nc,d\n", "x".repeat(count));
    assert_eq!(codes(&long(ROW_BYTES_MAX)), [None; 3]);
    assert_eq!(codes(&long(ROW_BYTES_MAX + 1)), [None, Some(Code::LineTooLong), None]);
    assert_eq!(codes(&long(9 * ROW_BYTES_MAX)), [None, Some(Code::LineTooLong), None]);
    let wide = |count: usize| format!("a,b\n{}\nc,d\n", vec!["x"; count].join(","));
    assert_eq!(codes(&wide(COLUMNS_MAX)), [None; 3]);
    assert_eq!(codes(&wide(COLUMNS_MAX + 1)), [None, Some(Code::TooManyColumns), None]);
    assert_eq!(codes(&wide(10_000)), [None, Some(Code::TooManyColumns), None]);
    let json = |count: usize| format!("{{}}\n{}\n{{}}\n", "x".repeat(count));
    assert_eq!(codes(&json(ROW_BYTES_MAX)), [None; 3]);
    assert_eq!(codes(&json(ROW_BYTES_MAX + 1)), [None, Some(Code::LineTooLong), None]);
}

/// Bytes without an end.
struct Endless;

impl Read for Endless {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        into.fill(b'x');
        Ok(into.len())
    }
}

/// Guarantees: a line without an end takes no more memory than one of the greatest length.
/// Fails when: the rest of a line that is too long is kept. Then this takes 4 GiB.
#[test]
fn a_line_without_an_end_is_read_over() {
    for hint in [Hint::default(), Hint { csv: Some(false), ..Hint::default() }] {
        let mut reader = Reader::open(Endless.take(4 << 30), hint).unwrap().expect("text");
        let mut row = Row::default();
        assert_eq!(reader.next(&mut row).unwrap(), Next::TooLong);
        assert!(row.all().len() <= ROW_BYTES_MAX + 1);
        assert_eq!(reader.next(&mut row).unwrap(), Next::End);
    }
}

/// Guarantees: a quote that is not closed ends the import instead of swallowing rows.
#[test]
fn a_quote_that_is_not_closed_is_the_end() {
    let rest = "a,b\n".repeat(ROW_BYTES_MAX);
    for text in [format!("a,b\n1,\"x\n{rest}"), "a,b\n1,\"x\n2,y\n3,z\n".to_owned()] {
        assert!(matches!(
            rows(text.as_bytes(), 999, Hint::default()),
            Err(Broken::UnclosedQuote { line: 2 })
        ));
    }
    assert_eq!(fields(b"a,b\n1,5\"\n").len(), 2, "a quote within a field is none");
}

fn tenants() -> Plan {
    Plan::new("t".to_owned(), Owner::Tenant("acme".to_owned()))
}

fn with(parameters: &[(&str, &str)]) -> Plan {
    let mut plan = tenants();
    parameters.iter().for_each(|(name, value)| plan.set(name, value).unwrap());
    plan
}

/// What becomes of each row of a file.
fn drafts(text: &str, plan: &Plan) -> Result<Drafts, Unfit> {
    let mut reader = Reader::open(text.as_bytes(), plan.hint).unwrap().expect("text");
    let subjects = Subjects::new(&Key::generate().unwrap(), Region::parse("FR").unwrap());
    let mut row = Row::default();
    let mut header = None;
    let mut first = false;
    if reader.format().as_str() == "csv" {
        assert_eq!(reader.next(&mut row).unwrap(), Next::Row);
        let read = Header::read(&row, plan)?;
        first = read.has_people;
        header = Some(read);
    }
    let maker = Maker {
        plan,
        header: header.as_ref(),
        first: subjects.first(),
        subjects,
        evidence: "import:t".into(),
    };
    let mut all = Vec::new();
    while std::mem::take(&mut first) || reader.next(&mut row).unwrap() == Next::Row {
        all.push(maker.draft(&row));
    }
    Ok((header.clone(), all))
}

/// What is recorded of each row of a provider's export.
fn recorded(text: &str) -> (&'static str, Vec<Fate>) {
    let (header, drafts) = drafts(text, &tenants()).unwrap();
    let told = |draft: Result<Draft, Code>| draft.map(|draft| (draft.record.channel, draft.record.reason));
    (header.map_or("none", |header| header.layout.as_str()), drafts.into_iter().map(told).collect())
}

/// Guarantees: exports of the five providers are recognised by their headers, with the reasons they stand for, and people in
/// them who did not opt out are left alone.
/// Fails when: a free text is taken for a reason, or a layout for another.
#[test]
fn exports_of_providers_are_recognised() {
    use RecordReason::{Complaint, HardBounce, Unsubscribed};
    let email = |reason| Ok((Some(Channel::Email), reason));
    let no = Err(Code::NotAnOptOut);
    for (text, layout, wanted) in [
        (
            "status,reason,email,created\n5.1.1,\"550 unknown, complaint\",a@example.org,1700000000\n\
             4.2.2,\"452 mailbox\nfull\",b@example.org,1700000000\n",
            "sendgrid",
            vec![email(HardBounce), no],
        ),
        ("reason,email,created\nno MX,a@example.org,1\n", "sendgrid", vec![email(HardBounce)]),
        ("ip,email,created\n192.0.2.1,a@example.org,1\n", "sendgrid", vec![email(Complaint)]),
        ("email,created\na@example.org,1\n", "sendgrid", vec![email(Unsubscribed)]),
        ("address,code,error,created_at\na@example.org,550,no,x\n", "mailgun", vec![email(HardBounce)]),
        ("address,created_at\na@example.org,x\n", "mailgun", vec![email(Complaint)]),
        ("address,tags,created_at\na@example.org,*,x\n", "mailgun", vec![email(Unsubscribed)]),
        (
            "\"Email Address\",\"First Name\",MEMBER_RATING,UNSUB_TIME,UNSUB_REASON,LEID,EUID,NOTES\n\
             a@example.org,Ada,2,x,\"spam\",1,2,\n",
            "mailchimp",
            vec![email(Unsubscribed)],
        ),
        ("Email Address,CLEAN_TIME,LEID,EUID\na@example.org,x,1,2\n", "mailchimp", vec![email(HardBounce)]),
        (
            "EMAIL;NOM;_SUBSCRIBED;_BLOCKLISTED\na@example.org;A;;email_marketing\nb@example.org;B;email_marketing;\n",
            "brevo",
            vec![email(Unsubscribed), no],
        ),
        (
            "EmailAddress,Reason,LastUpdateTime\na@example.org,BOUNCE,x\nb@example.org,COMPLAINT,x\n",
            "ses",
            vec![email(HardBounce), email(Complaint)],
        ),
        ("a@example.org,BOUNCE\nb@example.org,COMPLAINT\n", "ses", vec![email(HardBounce), email(Complaint)]),
        ("{\"emailAddress\":\"a@example.org\",\"reason\":\"BOUNCE\"}\n", "none", vec![email(HardBounce)]),
        (
            "{\"EmailAddress\":\"a@example.org\",\"Reason\":\"COMPLAINT\",\"LastUpdateTime\":\"x\"}\n",
            "none",
            vec![email(Complaint)],
        ),
    ] {
        assert_eq!(recorded(text), (layout, wanted), "{text}");
    }
}

/// Guarantees: French headers and words mean what the contract's do.
#[test]
fn headers_and_words_are_known_in_french() {
    let text = "Numéro de téléphone;Canal;Motif;Preuve\n06 39 98 12 34;SMS;Désinscription;f-1\n";
    assert_eq!(recorded(text).1, [Ok((Some(Channel::Sms), RecordReason::Unsubscribed))]);
    let text = "Adresse e-mail,Motif\nada@example.org,plainte\n";
    assert_eq!(recorded(text).1, [Ok((Some(Channel::Email), RecordReason::Complaint))]);
    let text = "Nom;Rue;Code postal;Ville;Pays;canal;raison\nAda Martin;1 rue de Paris;75002;Paris;FR;courrier;opposition\n";
    assert_eq!(recorded(text).1, [Ok((Some(Channel::Mail), RecordReason::Objected))]);
}

/// Guarantees: columns that the caller names count, whatever they are called, and those it takes away do not.
#[test]
fn columns_can_be_named_and_taken_away() {
    let text = "Portable perso,reason,email\n0639981234,gave up,x@example.org\n";
    let plan = with(&[
        ("column.address", "Portable perso"),
        ("column.reason", ""),
        ("reason", "objected"),
        ("channel", "sms"),
    ]);
    let (_, drafts) = drafts(text, &plan).unwrap();
    let draft = drafts[0].as_ref().unwrap();
    assert_eq!((draft.record.reason, &*draft.record.evidence), (RecordReason::Objected, "import:t"));
}

/// Guarantees: a row is one person's: an address, a contact or a postal address; of an export with all columns the channel
/// chooses.
#[test]
fn a_row_is_one_persons() {
    let code = |text: &str| recorded(text).1.remove(0).err();
    let all =
        "email,mobile,nom,rue,code postal,pays,channel,reason\na@example.org,0639981234,Ada,1 rue,75002,FR";
    for channel in ["email", "sms", "mail", "voice"] {
        assert_eq!(code(&format!("{all},{channel},objected\n")), None, "{channel}");
    }
    assert_eq!(code(&format!("{all},all,objected\n")), Some(Code::AmbiguousPerson));
    assert_eq!(
        code("address,contact,channel,reason\n0639981234,c,sms,objected\n"),
        Some(Code::AmbiguousPerson)
    );
    assert_eq!(code("address,contact,channel,reason\n,,sms,objected\n"), Some(Code::MissingAddress));
    assert_eq!(code("address,channel,reason\n,0639981234,sms,objected\n"), Some(Code::WrongNumberOfColumns));
    assert_eq!(code("address,channel,reason\n0639981234,sms\n"), Some(Code::WrongNumberOfColumns));
    assert_eq!(code("email,channel,reason\n0639981234,email,objected\n"), Some(Code::InvalidAddress));
    assert_eq!(
        code("address,channel,reason,evidence\n0639981234,sms,objected,a@b\n"),
        Some(Code::InvalidEvidence)
    );
    assert_eq!(code("address,channel,reason,list\n0639981234,sms,objected,a b\n"), Some(Code::InvalidList));
    assert_eq!(
        code("address,channel,reason,scope\n0639981234,sms,objected,platform\n"),
        Some(Code::FieldNotAllowed)
    );
    assert_eq!(code("address,channel,reason\n0639981234,sms,consent\n"), Some(Code::InvalidReason));
    assert_eq!(code("address,channel,reason\n0639981234,sms,no_consent\n"), Some(Code::InvalidReason));
}

/// Guarantees: a JSON row has known fields with texts, each once; a postal address may be an object; what else stands there is a
/// code, however deep it is.
#[test]
fn a_json_row_has_known_fields_each_once() {
    let code = |fields: &str| {
        let text = format!("{{\"channel\":\"mail\",\"reason\":\"objected\",{fields}}}\n");
        recorded(&text).1.remove(0).err()
    };
    let postal =
        r#"{"name":"Ada","street":"1 rue de Paris","postal_code":"75002","city":"Paris","country":"FR"}"#;
    assert_eq!(code(&format!("\"postal\":{postal}")), None);
    assert_eq!(code(r#""contact":"crm-\u00e9","evidence":null,"expires_at_ms":0"#), None);
    assert_eq!(code(r#""contact":"c","expires_at_ms":5"#), Some(Code::FieldNotAllowed));
    assert_eq!(code(r#""contact":"c","contact":"d""#), Some(Code::BadField));
    assert_eq!(code(r#""contact":5"#), Some(Code::BadField));
    assert_eq!(code(r#""contact":"c","adress":"x""#), Some(Code::UnknownField));
    assert_eq!(code(r#""postal":{"nom de famille":"x"}"#), Some(Code::BadField));
    assert_eq!(code(r#""contact":"c"}{"#), Some(Code::NotJson));
    let deep = format!("\"contact\":{}{}", "[".repeat(30_000), "]".repeat(30_000));
    assert!(matches!(code(&deep), Some(Code::BadField | Code::NotJson)));
    assert_eq!(drafts("{}\n[1]\n\"a\"\n", &tenants()).unwrap().1[1].as_ref().err(), Some(&Code::NotJson));
}
