//! The exposition is what dashboards are written against.

use std::io::Write;
use std::process::{Command, Stdio};

use super::*;

fn used() -> (Metrics, Exposition) {
    let (metrics, exposition) = Metrics::install();
    metrics.jobs(Channel::Sms, Verdict::Routed, 2);
    metrics.job_bytes(Channel::Sms, 40_000);
    metrics.recipients(Channel::Sms, Outcome::Forwarded, 90);
    metrics.recipients(Channel::Sms, Outcome::Suppressed(Reason::StopReply), 7);
    metrics.recipients(Channel::Email, Outcome::Rejected(RejectReason::InvalidAddress), 3);
    metrics.end_to_end_seconds(0.018);
    metrics.batch_seconds(Stage::Barrier, 0.002);
    metrics.commits(CommitResult::Committed);
    metrics.suppression_records(RecordReason::Consent, Source::Api, 5);
    metrics.optout_effective_seconds(Source::Api, 0.01);
    metrics.declare_dead_letter("EMPTY_VALUE");
    metrics.error("read", "unreachable");
    (metrics, exposition)
}

/// Guarantee: every metric of the contract is there under its name, before anything has happened.
#[test]
fn every_declared_metric_but_errors_is_visible_from_the_start() {
    let (metrics, exposition) = Metrics::install();
    metrics.declare_dead_letter("EMPTY_VALUE");
    let text = exposition.render();
    for metric in declared::ALL.iter().filter(|metric| metric.name != declared::ERRORS.name) {
        // A histogram has no series before its first value.
        if !matches!(metric.kind, Kind::Histogram(_)) {
            assert!(text.contains(&format!("# TYPE {} ", metric.name)), "{} is missing", metric.name);
        }
    }
    assert!(text.contains("tamis_recipients_lost_total{stage=\"sieve\"} 0"), "{text}");
    assert!(text.contains("tamis_holding 0"), "{text}");
}

#[test]
fn counts_come_out_under_the_labels_of_the_contract() {
    let (_metrics, exposition) = used();
    let text = exposition.render();
    for line in [
        r#"tamis_jobs_total{channel="sms",verdict="routed"} 2"#,
        r#"tamis_recipients_total{channel="sms",outcome="forwarded",reason="none"} 90"#,
        r#"tamis_recipients_total{channel="sms",outcome="suppressed",reason="stop_reply"} 7"#,
        r#"tamis_recipients_total{channel="email",outcome="rejected",reason="invalid_address"} 3"#,
        r#"tamis_suppression_records_total{reason="consent",source="api"} 5"#,
        r#"tamis_batch_seconds_count{stage="barrier"} 1"#,
        r#"tamis_end_to_end_seconds_bucket{le="0.02"} 1"#,
        r#"tamis_errors_total{stage="read",kind="unreachable"} 1"#,
        r#"tamis_dead_letters_total{code="EMPTY_VALUE"} 0"#,
    ] {
        assert!(text.lines().any(|had| had == line), "{line} is not in\n{text}");
    }
}

#[test]
fn totals_agree_with_what_was_counted() {
    let (metrics, _exposition) = used();
    let totals = metrics.totals();
    assert_eq!(totals.channel(Channel::Sms).recipients_in(), 97);
    assert_eq!(totals.channel(Channel::Sms).suppressed[Reason::StopReply as usize - 1], 7);
    assert_eq!(totals.all().recipients_in(), 100);
    assert_eq!(Metrics::detached().totals(), Totals::default());
}

#[test]
fn lag_is_summed_over_workers_and_its_age_is_the_worst() {
    let (metrics, exposition) = Metrics::install();
    metrics.consumer_lag(Some(10), 0.5);
    let other = metrics.clone();
    std::thread::spawn(move || other.consumer_lag(Some(32), 3.0)).join().unwrap();
    metrics.consumer_lag(None, 0.25);
    let text = exposition.render();
    assert!(text.contains("tamis_consumer_lag_records 42\n"), "{text}");
    assert!(text.contains("tamis_consumer_lag_seconds 3\n"), "{text}");
}

/// Guarantee: `promtool check metrics` has nothing to say. Does not run where promtool is not installed.
#[test]
fn promtool_is_content() {
    let (_metrics, exposition) = used();
    let Ok(mut tool) = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    else {
        return;
    };
    tool.stdin.take().unwrap().write_all(exposition.render().as_bytes()).unwrap();
    let said = tool.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&said.stderr).into_owned() + &String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success() && words.trim().is_empty(), "{words}");
}
