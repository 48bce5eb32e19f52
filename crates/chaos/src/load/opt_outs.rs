//! People who opt out: at the API of one process or another, as tenants do, and straight at the log.

use std::sync::mpsc;
use std::time::Duration;

use serde_json::json;
use tamis_bus::KeyedRecord;
use tamis_campaign::{Channel, RecordReason};
use tamis_tests::people::{self, Dice};
use tamis_wire::record;

use super::jobs::{Desk, tenant};
use super::{POPULATION, Shared, place};
use crate::history::OptOut;
use crate::http;

/// Between two opt-outs of one thread.
const PAUSE_MS: u64 = 300;
/// How often one is asked for again, at the next process, before it is left as not confirmed.
const TRIES: usize = 8;
/// How long the log is waited for.
const LOG_LIMIT: Duration = Duration::from_secs(30);

const REASONS: [RecordReason; 6] = [
    RecordReason::Unsubscribed,
    RecordReason::StopReply,
    RecordReason::Objected,
    RecordReason::Complaint,
    RecordReason::Erased,
    RecordReason::HardBounce,
];

/// How an opt-out comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    Api,
    Log,
}

pub(super) fn record_until_stopped(desk: &Desk, door: Door, mut dice: Dice) {
    let shared = &*desk.shared;
    while shared.goes_on() {
        std::thread::sleep(Duration::from_millis(dice.roll(2 * PAUSE_MS)));
        let opt_out = some_opt_out(shared, &mut dice);
        let number = {
            let mut book = shared.history.book();
            book.opt_outs.push(opt_out.clone());
            book.opt_outs.len() - 1
        };
        if confirmed(shared, door, &opt_out, &mut dice) {
            let now = shared.now();
            shared.history.book().opt_outs[number].acked_at = Some(now);
            let who = (opt_out.channel.unwrap_or(opt_out.address_of), opt_out.person, opt_out.tenant);
            shared.note_recent(who.clone());
            // The hardest case: the very next job is for them.
            if dice.roll(2) == 0 {
                desk.send(&mut dice, Some(who));
            }
        }
    }
}

fn some_opt_out(shared: &Shared, dice: &mut Dice) -> OptOut {
    let address_of = Channel::ALL[place(dice, Channel::ALL.len())];
    OptOut {
        address_of,
        person: dice.roll(POPULATION),
        tenant: tenant(dice).to_owned(),
        channel: (dice.roll(2) == 0).then_some(address_of),
        reason: REASONS[place(dice, REASONS.len())],
        begun_at: shared.now(),
        acked_at: None,
    }
}

/// Asks until it is confirmed, elsewhere each time. What was asked for and not confirmed may still come to count.
fn confirmed(shared: &Shared, door: Door, opt_out: &OptOut, dice: &mut Dice) -> bool {
    let first = place(dice, shared.apis.len());
    for attempt in 0..TRIES {
        let taken = match door {
            Door::Api => {
                let api = shared.apis[(first + attempt) % shared.apis.len()];
                http::post(api, "/v1/suppressions", &body(opt_out)) == Some(200)
            }
            Door::Log => at_the_log(shared, opt_out),
        };
        if taken {
            return true;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    false
}

fn body(opt_out: &OptOut) -> String {
    let who = people::recipient(opt_out.address_of, opt_out.person);
    let mut body = json!({
        "tenant": opt_out.tenant,
        "channel": opt_out.channel.map_or("all", Channel::as_str),
        "reason": opt_out.reason.as_str(),
        "evidence": "chaos",
    });
    match who.postal {
        Some(p) => {
            body["postal"] = json!([{ "name": p.name, "street": p.street, "postal_code": p.postal_code,
                                      "city": p.city, "country": p.country }]);
        }
        None => body["addresses"] = json!([who.address]),
    }
    body.to_string()
}

fn at_the_log(shared: &Shared, opt_out: &OptOut) -> bool {
    let OptOut { address_of, person, tenant, channel, reason, .. } = opt_out;
    let record = people::record(&shared.subjects, *address_of, *person, tenant, *channel, *reason);
    let keyed = KeyedRecord::new(
        record::partition_of(&record.subject, shared.recorder.partitions()),
        record::key(&record),
        record::encode(&record),
    );
    let (done, acked) = mpsc::channel();
    // Nobody listens any more after the limit.
    let answered = move |result: Result<_, tamis_bus::Error>| done.send(result.is_ok()).unwrap_or(());
    shared.recorder.submit(vec![keyed], Box::new(answered));
    acked.recv_timeout(LOG_LIMIT).unwrap_or(false)
}
