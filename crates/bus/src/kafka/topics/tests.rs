use super::*;

fn cluster_as_wanted(wanted: &[Wanted]) -> Cluster {
    let topics = wanted
        .iter()
        .map(|topic| {
            let mut configs = topic.configs.clone();
            configs.insert("min.insync.replicas".to_owned(), "2".to_owned());
            let existing =
                Existing { partitions: topic.partitions, replication: 3, own: configs.clone(), configs };
            (topic.name.clone(), existing)
        })
        .collect();
    Cluster { brokers: 3, topics }
}

fn changed(name: &str, change: impl FnOnce(&mut Existing)) -> Vec<Finding> {
    let wanted = wanted(&Config::new("localhost:9092"));
    let mut cluster = cluster_as_wanted(&wanted);
    change(cluster.topics.get_mut(name).expect("a topic of the contract"));
    plan(&wanted, &cluster)
}

fn set(key: &str, value: &str) -> impl FnOnce(&mut Existing) {
    move |existing| {
        existing.configs.insert(key.to_owned(), value.to_owned());
    }
}

#[test]
fn topics_as_wanted_have_no_findings_and_missing_ones_are_created() {
    let wanted = wanted(&Config::new("localhost:9092"));
    assert!(plan(&wanted, &cluster_as_wanted(&wanted)).is_empty());
    let nothing = plan(&wanted, &Cluster { brokers: 1, topics: BTreeMap::new() });
    assert_eq!(nothing.len(), 10);
    assert!(nothing.iter().all(|f| f.mend == Mend::Create && f.severity == Severity::Refuse));
    assert!(nothing[0].text.contains("8 partitions and 1 replicas"));
}

#[test]
fn a_suppression_log_that_forgets_is_refused() {
    for policy in ["delete", "compact,delete", "delete,compact"] {
        let findings = changed("tamis.suppressions.v1", set("cleanup.policy", policy));
        assert_eq!(findings.len(), 1, "{policy}");
        assert_eq!(findings[0].severity, Severity::Refuse);
        assert_eq!(findings[0].mend, Mend::Set { key: "cleanup.policy", value: "compact".to_owned() });
    }
}

/// Guarantees (G1): no opt-out is compacted away between a barrier and the filter, because a repeat of it came later.
/// Fails when: the lag is not looked at, or the topic is not created with it.
#[test]
fn g1_a_suppression_log_that_is_compacted_at_once_is_told_and_mended() {
    let findings = changed("tamis.suppressions.v1", set("min.compaction.lag.ms", "0"));
    assert_eq!(findings.len(), 1);
    let mend = Mend::Set { key: "min.compaction.lag.ms", value: COMPACTION_LAG_MS.to_string() };
    assert_eq!((findings[0].severity, &findings[0].mend), (Severity::Note, &mend));
    assert!(changed("tamis.suppressions.v1", set("min.compaction.lag.ms", "9999999")).is_empty());
    assert!(changed("tamis.send-jobs.v1", set("min.compaction.lag.ms", "0")).is_empty());
}

#[test]
fn apply_never_turns_deletion_on_and_never_lowers_a_limit() {
    let compacted = changed("tamis.send-jobs.v1", set("cleanup.policy", "compact"));
    assert_eq!((compacted[0].severity, &compacted[0].mend), (Severity::Refuse, &Mend::Operator));
    assert!(changed("tamis.send-jobs.v1", set("max.message.bytes", "999999999")).is_empty());
    let raised = changed("tamis.send-jobs.v1", set("max.message.bytes", "1000"));
    assert_eq!(raised[0].severity, Severity::Refuse);
    let longer = changed("tamis.deliveries.sms.v1", set("retention.ms", "-1"));
    assert_eq!((longer[0].severity, &longer[0].mend), (Severity::Note, &Mend::Operator));
    assert!(changed("tamis.outcomes.v1", set("retention.ms", "-1")).is_empty());
}

#[test]
fn a_wrong_number_of_partitions_is_refused_only_where_the_contract_rests_on_it() {
    for (name, severity) in [
        ("tamis.send-jobs.v1", Severity::Refuse),
        ("tamis.outcomes.v1", Severity::Refuse),
        ("tamis.suppressions.v1", Severity::Refuse),
        ("tamis.deliveries.mail.v1", Severity::Note),
        ("tamis.dead-letters.v1", Severity::Note),
    ] {
        let findings = changed(name, |existing| existing.partitions = 3);
        assert_eq!(findings.len(), 1, "{name}");
        assert_eq!(findings[0].severity, severity, "{name}");
    }
}

/// Guarantees: every setting that would keep content's bytes is told, none of them stops tamis, and `apply` mends those
/// that delete nothing.
/// Fails when: one of them is not looked at.
#[test]
fn what_would_keep_content_is_noted_and_mended_where_nothing_is_deleted_by_it() {
    for (key, value, mended) in [
        ("segment.ms", "604800000", Some("600000")),
        ("segment.bytes", "1073741824", Some("67108864")),
        ("segment.bytes", "1048576", Some("67108864")),
        ("file.delete.delay.ms", "3600000", Some("60000")),
        ("segment.ms", "1000", None),
        ("retention.ms", "-1", None),
        ("retention.bytes", "1000000", None),
        ("remote.storage.enable", "true", None),
    ] {
        for topic in ["tamis.send-jobs.v1", "tamis.deliveries.fax.v1", "tamis.inbound.v1"] {
            let findings = changed(topic, set(key, value));
            assert_eq!(findings.len(), 1, "{topic} {key}={value}");
            assert_eq!(findings[0].severity, Severity::Note);
            assert!(findings[0].text.contains(key), "{}", findings[0].text);
            match (&findings[0].mend, mended) {
                (Mend::Operator, None) => {}
                (Mend::Set { key: set, value }, Some(mended)) => {
                    assert_eq!((*set, value.as_str()), (key, mended))
                }
                (other, _) => panic!("{key}={value}: {other:?}"),
            }
        }
        assert!(changed("tamis.outcomes.v1", set(key, value)).is_empty(), "{key}: there is no content");
    }
}

/// Guarantees: a segment holds the largest delivery, however large that may be.
#[test]
fn a_segment_is_never_smaller_than_a_record() {
    let mut config = Config::new("localhost:9092");
    config.topics.max_message_bytes = 100_000_000;
    let jobs = wanted(&config).remove(0);
    assert_eq!(jobs.configs["segment.bytes"], "200000000");
    config.topics.max_message_bytes = 2_000_000_000;
    assert_eq!(wanted(&config).remove(0).configs["segment.bytes"], "2147483647");
}

/// Guarantees: `plan` says of a topic with content when its bytes go; of others it has nothing to explain.
#[test]
fn a_plan_explains_when_content_leaves_the_disks() {
    let findings =
        plan(&wanted(&Config::new("localhost:9092")), &Cluster { brokers: 1, ..Cluster::default() });
    let explained: Vec<&str> =
        findings.iter().filter(|f| f.text.contains("leaves the disks")).map(|f| f.topic.as_str()).collect();
    assert_eq!(explained.len(), 7, "{explained:?}");
}

/// Guarantees: replies are content: they go after a day at most, and their segments are closed as those of jobs are.
/// Fails when: `inbound` is kept as long as jobs are, or without the rules of topics with content.
#[test]
fn replies_are_kept_for_a_day_at_most_and_leave_the_disks_as_jobs_do() {
    let mut config = Config::new("localhost:9092");
    config.topics.retention = Duration::from_secs(72 * 3_600);
    let wanted = wanted(&config);
    let of = |noun: &str| wanted.iter().find(|t| t.name.contains(noun)).expect("a topic of the contract");
    let (replies, jobs) = (&of("inbound").configs, &of("send-jobs").configs);
    assert_eq!(replies["retention.ms"], "86400000");
    for key in ["cleanup.policy", "segment.ms", "segment.bytes", "message.timestamp.type"] {
        assert_eq!(replies[key], jobs[key], "{key}");
    }
}
