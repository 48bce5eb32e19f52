//! Two minutes in the hostile world, from a printed seed.

use tamis_chaos::soak::{self, Options};

/// Guarantees G1, G3, G4 and G6 through killed, stopped and full brokers, killed and stopped processes, and a network that
/// loses, delays and doubles, and that it goes on by itself after each.
/// Fails when: offsets are committed outside the transaction, a batch is not decided again after an abort, the barrier is
/// left out, a producer in doubt is kept (a late `EndTxn` then ends the next transaction), or a hold does not end.
#[test]
fn g1_g3_g4_g6_every_promise_is_kept_for_two_hostile_minutes() {
    let seed = soak::random_seed().expect("the system has random bytes");
    println!("seed {seed}: cargo xtask soak --minutes 2 --seed {seed}");
    let report =
        soak::run(&Options { minutes: 2, seed, retries: false, only: None, verbose: true }).expect("it runs");
    println!("{report}");
    assert!(report.is_clean(), "{report}");
    assert!(report.faults.len() >= 3 && report.faults.iter().any(|fault| fault.bites > 0), "it was hostile");
    assert!(
        report.sums.delivered > 0 && report.sums.withheld_by_promise > 0,
        "there was something to promise"
    );
}
