//! The command against a real Kafka.

#[path = "common/house.rs"]
mod house;

use std::process::{Command, Stdio};

use house::{ends, free_address, house_on, json};

#[test]
fn the_demo_keeps_its_promises_on_kafka_too() {
    let bootstrap = kafka_harness::shared().bootstrap();
    let dir = tempfile::tempdir().expect("a directory");
    let size = ["demo", "--seconds", "5", "--recipients-per-second", "5000", "--json"];
    let args = [&size[..], &["--bootstrap-servers", &bootstrap]].concat();
    let (out, err) = ends(dir.path(), &args, "", 0);
    let told = json(&out);
    assert_eq!(told["ok"], true, "{err}");
    assert!(told["in"].as_u64().expect("a number") > 5_000, "{err}");
}

#[test]
fn what_runs_on_the_disk_runs_on_kafka_once_its_topics_are_made() {
    const SMS: &[&str] = &["--tenant", "acme", "--channel", "sms", "--reason", "stop_reply"];
    let house = house_on(&kafka_harness::shared().bootstrap());
    let dir = house.path();
    for args in [&["topics", "check"][..], &["run"], &["validate", "--connect"]] {
        let (out, err) = ends(dir, args, "", 3);
        assert!((out + &err).contains("tamis topics apply"), "it says what mends it");
    }
    ends(dir, &["topics", "plan"], "", 0);
    ends(dir, &["topics", "apply"], "", 0);
    ends(dir, &["topics", "check"], "", 0);

    ends(dir, &[&["suppress", "add"], SMS].concat(), "06 39 98 12 34\n", 0);
    let recipients = r#"[{"address":"+33639981234"},{"address":"+33639981235"}]"#;
    let job = format!(r#"{{"job_id":"j1","tenant":"acme","channel":"sms","recipients":{recipients}}}"#);
    ends(dir, &["jobs", "send", "-"], &job, 0);
    let mut service = Command::new(env!("CARGO_BIN_EXE_tamis"))
        .current_dir(dir)
        .arg("run")
        .stderr(Stdio::null())
        .spawn()
        .expect("start the service");
    let tail = ["deliveries", "tail", "--channel", "sms", "--from-beginning", "--max", "1"];
    let (out, _) = ends(dir, &[&tail[..], &["--idle-exit", "30s", "--reveal", "--json"]].concat(), "", 0);
    let recipients = &json(&out)["recipients"];
    assert_eq!(recipients.as_array().expect("recipients").len(), 1);
    assert_eq!(recipients[0]["address"], "+33639981235");
    let asked = Command::new("kill").arg(service.id().to_string()).status().expect("kill");
    assert!(asked.success());
    assert_eq!(service.wait().expect("wait").code(), Some(0));

    let ask = r#"{"job":{"tenant":"acme","channel":"sms"},"recipient":{"address":"0639981234"}}"#;
    let (out, _) = ends(dir, &["explain", "--json"], ask, 0);
    assert_eq!(json(&out)["reason"], "stop_reply");
}

#[test]
fn a_broker_that_does_not_answer_is_exit_4() {
    let house = house_on(&free_address());
    for args in [&["run", "--fail-fast"][..], &["topics", "check"], &["jobs", "send", "-"]] {
        ends(house.path(), args, "", 4);
    }
}
