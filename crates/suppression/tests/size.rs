//! The index at its real sizes: segments of tens of thousands.

use tamis_campaign::{Channel, Purpose, Reason};
use tamis_subject::Subject;
use tamis_suppression::Index;
use tamis_wire::record::{Record, Scope};

/// More than three segments hold.
const PEOPLE: u64 = 200_000;

fn subject(n: u64) -> Subject {
    let mix = |n: u64| {
        let mixed = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB)
    };
    let word = |n: u64| mix(mix(n.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
    Subject::from_bytes((u128::from(word(2 * n + 1)) << 64 | u128::from(word(2 * n + 2))).to_le_bytes())
}

/// Guarantees G1 and G3 over several segments of full size: everybody who is in is dropped for their own reason by their
/// own tenant, and nobody else, once the room for reading a log is given back. What must be at hand takes 16 bytes a record at
/// most before, with the gaps that growing leaves, and 10 then.
/// Fails when: places don't fit 16 bits, segments overflow, or memory is wasted.
#[test]
#[cfg_attr(miri, ignore = "its sizes are its point, and Miri would take hours for them")]
fn g3_two_hundred_thousand_are_told_apart() {
    let tenants: Vec<String> = (0..50).map(|n| format!("t{n}")).collect();
    let mut index = Index::new(1);
    for n in 0..PEOPLE {
        let record =
            Record::plain(subject(n), Scope::Tenant(tenants[n as usize % tenants.len()].as_str().into()));
        index.apply(0, n as i64, 0, &record).unwrap();
    }
    let each = |index: &Index| index.bytes_apart().hot as f64 / PEOPLE as f64;
    assert!(each(&index) < 16.0, "{} bytes a record while a log is read", each(&index));
    index.settle();
    loop {
        let prepared = index.prepare(std::iter::empty(), 1).unwrap();
        if prepared.is_empty() {
            break;
        }
        drop(index.accept(prepared));
    }
    assert_eq!((index.subjects(), index.records()), (PEOPLE as usize, PEOPLE as usize));
    let everyone: Vec<Subject> = (0..2 * PEOPLE).map(subject).collect();
    for (number, tenant) in tenants.iter().enumerate().step_by(7) {
        let selection = index.select(tenant, "", Channel::Sms, Purpose::Marketing);
        let mut told = vec![None; everyone.len()];
        selection.hits(&everyone, |n, hit| told[n] = selection.reason(hit, 1));
        for (n, told) in told.iter().enumerate() {
            let dropped = n < PEOPLE as usize && n % tenants.len() == number;
            assert_eq!(*told, dropped.then_some(Reason::Unsubscribed), "person {n}");
        }
    }
    assert!(each(&index) < 10.0, "{} bytes a record", each(&index));
}
