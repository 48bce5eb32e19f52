//! Any text as a line of `jobs send`: no panic, a refusal that repeats nothing of it, and a job that the router's own
//! reader takes, refuses or buries. What `deliveries tail` then shows masked holds no recipient's address.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tamis_wire::proto::campaign::v1::Delivery;
use tamis_wire::{JobView, Message, Spans};

/// Stands in the corpus wherever a person may stand.
const PERSON: &str = "639981234";

fuzz_target!(|line: &str| {
    let job = match tamis_fuzz::job(line) {
        Ok(job) => job,
        Err(words) => {
            assert!(words.is_ascii() && !words.contains(PERSON) && words.len() < 400, "{words}");
            return;
        }
    };
    let bytes = job.encode_to_vec();
    let mut spans = Spans::new();
    if let Ok(view) = JobView::parse(&bytes, &mut spans) {
        assert_eq!(view.job_id.as_str(), job.job_id);
        assert_eq!(spans.len(), job.recipients.len());
    }
    let delivery = Delivery::decode(&bytes[..]).expect("a delivery has a job's fields");
    let revealed = tamis_fuzz::shown(&delivery, true);
    let masked = tamis_fuzz::shown(&delivery, false);
    for one in &delivery.recipients {
        let address = one.address.trim();
        if address.contains(PERSON) && !job_says(&job, address) {
            assert!(!masked.contains(address), "{masked}");
        }
    }
    drop(revealed);
});

/// Whether the job itself, and not a recipient, says it too.
fn job_says(job: &tamis_wire::proto::campaign::v1::SendJob, address: &str) -> bool {
    let texts =
        [&job.job_id, &job.tenant, &job.campaign, &job.list, &job.sender, &job.gateway, &job.content_type];
    texts.iter().any(|text| text.contains(address))
        || job.recipients.iter().any(|one| one.postal.as_ref().is_some_and(|p| p.country.contains(address)))
}
