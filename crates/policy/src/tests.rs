use super::*;

const FULL: &str = r##"
version = "2026-11-27"
[[tenant]]
id = "acme"
channels = ["sms", "email"]
senders = ["36200", "36179"]
consent_required = ["voice"]
contract_until = "2028-01-01"
display_name = "Acme & Söhne"
accent = "#0055aa"
unsubscribe_tokens = true
stop_words = ["BASTA"]
rules = "none"
[[tenant]]
id = "globex"
senders = ["36200"]
suspended = true
"##;

fn problems(text: &str) -> Vec<String> {
    Policy::parse(text).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn a_policy_says_what_a_tenant_may() {
    let policy = Policy::parse(FULL).unwrap();
    assert_eq!(policy.version(), "2026-11-27");
    let code = |tenant, channel, sender, now_ms| {
        policy.judge(tenant, channel, sender, now_ms).map(Tenant::id).map_err(|d| d.code)
    };
    assert_eq!(code("acme", Channel::Sms, "36200", 0), Ok("acme"));
    assert_eq!(code("acme", Channel::Sms, "", 0), Ok("acme"));
    assert_eq!(code("acme", Channel::Fax, "36200", 0), Err(RefusalCode::ChannelNotAllowed));
    assert_eq!(code("acme", Channel::Sms, "3620", 0), Err(RefusalCode::SenderNotAllowed));
    assert_eq!(code("nobody", Channel::Sms, "36200", 0), Err(RefusalCode::UnknownTenant));
    assert_eq!(code("globex", Channel::Sms, "36200", 0), Err(RefusalCode::TenantSuspended));
    // The last day counts whole.
    let next_day = (date::days("2028-01-01").unwrap() + 1) * DAY_MS;
    assert_eq!(code("acme", Channel::Sms, "", next_day - 1), Ok("acme"));
    assert_eq!(code("acme", Channel::Sms, "", next_day), Err(RefusalCode::ContractEnded));
    let acme = policy.tenant("acme").unwrap();
    assert!(
        acme.needs_consent(Channel::Voice) && !acme.needs_consent(Channel::Sms) && acme.unsubscribe_tokens()
    );
    assert_eq!(acme.display_name(), Some("Acme & Söhne"));
    assert_eq!(acme.stop_words().iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["BASTA"]);
}

#[test]
fn a_shared_short_code_has_several_owners() {
    let policy = Policy::parse(FULL).unwrap();
    let owners = |sender| policy.owners(sender).iter().map(AsRef::as_ref).collect::<Vec<&str>>();
    assert_eq!(owners("36200"), ["acme", "globex"]);
    assert_eq!(owners("36179"), ["acme"]);
    assert!(owners("1").is_empty());
}

#[test]
fn without_a_policy_everything_is_allowed() {
    let policy = Policy::default();
    let rules = policy.judge("anybody", Channel::Voice, "x", i64::MAX).unwrap();
    assert!(!rules.needs_consent(Channel::Voice) && !rules.unsubscribe_tokens());
    assert_eq!(policy.version(), "");
}

/// Guarantees: what would not be enforced is refused, with line and key, and everything that is wrong is told at once.
/// Fails when: an unknown key, or one of the contract's that does nothing yet, is read over.
#[test]
fn what_is_wrong_or_not_enforced_is_told_with_its_line() {
    let told = problems(
        "version = \"1\"\n[[gateway]]\nid = \"g\"\n[[tenant]]\nid = \"a\"\nresidency = \"EU\"\nrules = \"fr\"\nacent = \"#000000\"\n",
    );
    let has = |line: &str| told.iter().any(|problem| problem.starts_with(line));
    assert!(has("line 2: gateway: not enforced"), "{told:?}");
    assert!(
        has("line 6: tenant.residency: not enforced") && has("line 7: tenant.rules: no calendar"),
        "{told:?}"
    );
    assert!(has("line 8: tenant.acent: unknown key") && told.len() == 4, "{told:?}");
}

#[test]
fn each_value_is_checked() {
    let of_tenant = |line: &str| problems(&format!("version = \"1\"\n[[tenant]]\nid = \"a\"\n{line}\n"));
    for line in [
        "channels = [\"sms\", \"pigeon\"]",
        "channels = \"sms\"",
        "senders = [\"\"]",
        "senders = [1]",
        "accent = \"#ffff00\"",
        "accent = \"blue\"",
        "display_name = \" \"",
        "contract_until = \"2027-02-30\"",
        "contract_until = 2027-02-28",
        "suspended = \"no\"",
        "stop_words = [\"two words\"]",
        "stop_words = [\"!\"]",
    ] {
        let told = of_tenant(line);
        assert!(told.len() == 1 && told[0].starts_with("line 4: tenant."), "{line}: {told:?}");
    }
    assert!(problems("[[tenant]]\nid = \"a\"\n")[0].starts_with("line 1: version: missing"));
    assert!(problems("version = \"1\"\n[[tenant]]\nid = \"a b\"\n")[0].starts_with("line 2: tenant.id"));
    assert!(
        problems("version = \"1\"\n[[tenant]]\nid = \"a\"\n[[tenant]]\nid = \"a\"\n")[0].contains("twice")
    );
    assert!(problems("version = \"1\"\ntenant = 3\n")[0].starts_with("line 2: tenant: write"));
    assert!(problems("version = \n")[0].starts_with("line 1: not TOML"));
}

#[test]
fn a_new_policy_takes_the_place_of_the_old_one() {
    let current = Current::default();
    let before = current.load();
    current.clone().replace(Policy::parse(FULL).unwrap());
    assert!(before.tenant("nobody").is_some() && current.load().tenant("nobody").is_none());
}
