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

#[test]
fn what_run_needs_leaves_inbound_out() {
    let names: Vec<String> =
        needed(&Config::new("localhost:9092")).into_iter().map(|topic| topic.name).collect();
    assert_eq!(names.len(), 9);
    assert!(!names.iter().any(|name| name.contains("inbound")));
}
