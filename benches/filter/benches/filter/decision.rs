//! The whole decision for a job of 1,000, in a filter of any size.
//!
//! Each job is for others than the one before, so that look-ups wait for memory as in the line, and stands where the one before
//! stood, as in a buffer that is read. One recipient in twenty has opted out.

use std::time::Instant;

use tamis_campaign::{Channel, Identity};
use tamis_subject::{Key, Region, Subjects};

use crate::made::splitmix;
use crate::ours::{AHEAD, Built, Held, READ, build, follow, settle};
use crate::whole::{Whole, job, phone};

const RECIPIENTS: u64 = 1_000;
/// How many of a job's recipients have opted out, of how many people who have.
const SUPPRESSED: u64 = RECIPIENTS / 20;
const OPTED_OUT: u64 = 200_000;
const JOBS: u64 = 20_000;

pub(crate) fn decision(entries: u64) {
    let millions = entries / 1_000_000;
    let Built { mut index, mut records, .. } = build(entries, 1, 1, 1);
    let region = Region::parse("FR").expect("a region");
    let key = Key::generate().expect("random bytes").with_another_step().expect("random bytes");
    let rotated = Subjects::new(&key, region);
    let subjects = rotated.first();
    for record in &mut records {
        record.scope = tamis_wire::record::Scope::Tenant("acme".into());
        assert_eq!((record.identity, record.channel), (Identity::Phone, None::<Channel>));
    }
    let mut offset = index.position()[0];
    for by in [&subjects, &rotated] {
        let who: Vec<_> = (0..OPTED_OUT).map(|n| (0, by.phone(&phone(n)).expect("a number"))).collect();
        for who in who.chunks(READ) {
            follow(&mut index, &mut records, &mut offset, who, (AHEAD, &mut Held::default()));
        }
    }
    settle(&mut index, &mut Held::default());
    for (what, by, contacts, outcome) in [
        ("as the goal has it", &subjects, false, false),
        ("with contacts, and its outcome written", &subjects, true, true),
        ("the same, key rotated once", &rotated, true, true),
    ] {
        let mut whole = Whole::new(by, &index);
        let (mut took, mut forwarded) = (Vec::new(), 0);
        for id in 0..JOBS {
            let who = |at: u64| {
                let any = splitmix(id * RECIPIENTS + at);
                if at % 20 == 7 { any % OPTED_OUT } else { OPTED_OUT + any % (100_000_000 - OPTED_OUT) }
            };
            let value = job(id, (0..RECIPIENTS).map(who), contacts);
            let begun = Instant::now();
            forwarded += u64::from(whole.decide(&index, &value, outcome));
            took.push(begun.elapsed());
        }
        let most = JOBS * (RECIPIENTS - SUPPRESSED);
        assert!(forwarded <= most && forwarded > most * 9 / 10, "{forwarded} of {most} are forwarded");
        took.sort_unstable();
        let [median, most] = [2, 10].map(|part| {
            let job = took[took.len() - 1 - took.len() / part];
            job.as_secs_f64() * 1e9 / RECIPIENTS as f64
        });
        println!(
            "| whole decision, job of 1,000, {what} | {millions} M | {median:.1} ns a recipient; in nine of ten jobs {most:.1} at most |"
        );
    }
}
