//! A snapshot with any bytes changed, and its checksums made to fit again: refused, or an index that can be used, but no
//! panic and no memory beyond what the file could hold.
#![no_main]

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::sync::OnceLock;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tamis_campaign::{Channel, Purpose};
use tamis_subject::Subject;
use tamis_suppression::Index;
use tamis_suppression::snapshot::{self, Folder, Order, Shared, Stamp};
use tamis_wire::record::{Record, Scope};

/// What the checksum is.
use xxhash_rust::xxh3::xxh3_64;

/// How many bytes of a cold part have a checksum together.
const BLOCK: usize = 4_096;

struct Alone(std::sync::Mutex<Index>);

impl Shared for Alone {
    fn with<R>(&self, step: impl FnOnce(&mut Index) -> R) -> R {
        step(&mut self.0.lock().expect("no panic before"))
    }

    fn see<R>(&self, step: impl FnOnce(&Index) -> R) -> R {
        self.with(|index| step(index))
    }
}

#[derive(Debug, Arbitrary)]
struct Change {
    /// Bytes to change: where, and by what.
    bytes: Vec<(u16, u8)>,
    /// A number of the table to change: which, and to what.
    number: Option<(u8, u64)>,
    /// How much to cut.
    cut: u8,
}

fn subject(n: u64) -> Subject {
    let word = |n: u64| {
        (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).wrapping_mul(0xBF58_476D_1CE4_E5B9)
    };
    Subject::from_bytes((u128::from(word(n + 1_000)) << 64 | u128::from(word(n))).to_le_bytes())
}

fn record(n: u64) -> Record {
    let list = || Scope::List { tenant: "a".into(), list: "b".into() };
    Record {
        expires_at_ms: if n.is_multiple_of(5) { 9 } else { 0 },
        evidence: "e".repeat((n % 4) as usize).into(),
        ..Record::plain(subject(n), if n.is_multiple_of(3) { Scope::Platform } else { list() })
    }
}

/// A good one.
fn good() -> &'static [u8] {
    static GOOD: OnceLock<Vec<u8>> = OnceLock::new();
    GOOD.get_or_init(|| {
        let mut index = Index::new(1);
        for n in 0..40 {
            index.apply(0, n, 1, &record(n as u64 % 30)).expect("all is in memory");
        }
        let path = std::env::temp_dir().join(format!("tamis-fuzz-snapshot-{}", std::process::id()));
        let folder = Folder::at(&path);
        let stamp = Stamp { cluster: "c".into(), topic: "t".into(), scheme: 1, key_check: [1; 16] };
        let order = Order { stamp, told_scheme: 1, taken_at_ms: 1, of: index.life(), go_on: &|| true };
        snapshot::write(&folder, order, &Alone(index.into())).expect("it is written");
        let bytes = std::fs::read(folder.file(1)).expect("it is there");
        std::fs::remove_dir_all(path).expect("it was made here");
        bytes
    })
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?)).ok()
}

/// The `n`-th number in a table.
fn number<'v>(value: &'v mut Value, n: &mut usize) -> Option<&'v mut Value> {
    match value {
        Value::Number(_) if *n == 0 => Some(value),
        Value::Number(_) => {
            *n -= 1;
            None
        }
        Value::Array(all) => all.iter_mut().find_map(|value| number(value, n)),
        Value::Object(all) => all.values_mut().find_map(|value| number(value, n)),
        _ => None,
    }
}

/// Makes the checksums fit what the table says, as far as that is within the file.
fn sealed(bytes: &[u8], change: &Change) -> Option<Vec<u8>> {
    let tail = bytes.len().checked_sub(32)?;
    let (at, length) = (word(bytes, tail)?, word(bytes, tail + 8)?);
    let mut table: Value = serde_json::from_slice(bytes.get(at..at.checked_add(length)?)?).ok()?;
    if let Some((which, to)) = change.number
        && let Some(found) = number(&mut table, &mut usize::from(which))
    {
        *found = to.into();
    }
    let mut body = bytes[..at].to_vec();
    for row in table["segments"].as_array_mut()? {
        let of = |value: &Value| value.as_u64().and_then(|n| usize::try_from(n).ok());
        let rows = |name: &str, each: usize| of(&row[name])?.checked_mul(each);
        let told = rows("lines", 64)?.checked_add(rows("sets", 4)?)?.checked_add(rows("timed", 22)?)?;
        let cold_rows =
            of(&row["cold"]["people"])?.checked_add(of(&row["cold"]["details"])?)?.checked_mul(20)?;
        let cold = cold_rows.checked_add(of(&row["cold"]["texts"])?)?;
        let from = of(&row["at"])?;
        let sums_at = from.checked_add(told)?;
        let cold_at = sums_at.checked_add(cold.div_ceil(BLOCK).checked_mul(8)?)?;
        let sums: Vec<u8> = body
            .get(cold_at..cold_at.checked_add(cold)?)?
            .chunks(BLOCK)
            .flat_map(|block| xxh3_64(block).to_le_bytes())
            .collect();
        body.get_mut(sums_at..cold_at)?.copy_from_slice(&sums);
        row["hot_sum"] = xxh3_64(body.get(from..cold_at)?).into();
    }
    let table = table.to_string();
    let mut sealed = body;
    sealed.extend_from_slice(table.as_bytes());
    for word in [at as u64, table.len() as u64, xxh3_64(table.as_bytes())] {
        sealed.extend_from_slice(&word.to_le_bytes());
    }
    sealed.extend_from_slice(b"TAMISEND");
    Some(sealed)
}

fuzz_target!(|change: Change| {
    let mut bytes = good().to_vec();
    let length = bytes.len();
    for (at, by) in &change.bytes {
        bytes[usize::from(*at) % length] ^= by;
    }
    bytes.truncate(length - usize::from(change.cut));
    let bytes = sealed(&bytes, &change).unwrap_or(bytes);
    let mut file: File = tempfile::tempfile().expect("a file");
    file.write_all(&bytes).expect("it takes bytes");
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let _ = snapshot::check(&path);
    let Ok((mut index, about)) = snapshot::load(&path) else { return };
    assert!(about.position.len() < bytes.len());
    let all: Vec<Subject> = (0..60).map(subject).collect();
    index.select("a", "b", Channel::Sms, Purpose::Marketing).hits(&all, |_, _| {});
    let _ = index.tally();
    for n in 0..60 {
        let _ = index.in_force("a", &subject(n), 5);
        let offset = index.position().first().copied().unwrap_or(0);
        if n == 30 {
            index.settle();
        }
        if index.prepare(std::iter::once(&subject(n)), 1).map(|prepared| index.accept(prepared)).is_err()
            || index.apply(0, offset, 1, &record(n)).is_err()
        {
            break;
        }
    }
});
