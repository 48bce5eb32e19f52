//! What an unsubscribe token costs that is good, of another key, forged or cut short: whatever is wrong with it, as much is computed, so
//! that nobody learns from the time how near a guess was. `cargo xtask bench tokens`
//!
//! The rows from "another key" on must agree but for what anybody can count in the text itself: how long it is, and whether it is base64.

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use tamis_campaign::{Channel, Identity, Tenant};
use tamis_subject::{Key, Region, Subjects};

fn subjects() -> Subjects {
    let key = Key::generate().expect("random bytes");
    Subjects::new(&key, Region::parse("FR").expect("FR is a region"))
}

fn mint(subjects: &Subjects) -> String {
    let first = subjects.phone("+33612345678").expect("a number");
    let tenant = Tenant::parse("acme").expect("an identifier");
    let mut minter = subjects.minter(Channel::Sms, tenant, "news", 20_784).expect("the names fit");
    minter.mint(first, Identity::Phone).as_str().to_owned()
}

/// `token` with another character at `at`.
fn changed(token: &str, at: usize) -> String {
    let other = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
    [&token[..at], other, &token[at + 1..]].concat()
}

fn open(criterion: &mut Criterion) {
    let ours = subjects();
    let good = mint(&ours);
    let tokens = [
        ("good", good.clone()),
        ("another key", mint(&subjects())),
        // A digit of 6 bits: the second to 22nd are the tag's.
        ("first of the tag", changed(&good, 2)),
        ("last of the tag", changed(&good, 21)),
        ("tenant", changed(&good, good.len() - 8)),
        ("step", changed(&good, 0)),
        ("cut by one", good[..good.len() - 1].to_owned()),
        ("cut to ten", good[..10].to_owned()),
        ("too long", "A".repeat(200)),
        ("no base64", "~".repeat(good.len())),
        ("empty", String::new()),
    ];
    let mut group = criterion.benchmark_group("tokens");
    for (name, token) in &tokens {
        assert_eq!(ours.open(token).is_some(), *name == "good", "{name}");
        group.bench_function(*name, |bencher| bencher.iter(|| ours.open(black_box(token))));
    }
    group.finish();
}

criterion_group!(tokens, open);
criterion_main!(tokens);
