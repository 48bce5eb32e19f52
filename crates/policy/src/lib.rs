//! Tenants, and what each may do (contract, section 8). Pure: a text in, a [`Policy`] or everything that is wrong with it out.
//!
//! What the contract has and this version does not enforce (gateways, residency, calendars) is refused where it is written: a rule
//! that is ignored is worse than none.

mod colour;
mod date;
mod read;

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;
use tamis_campaign::{Channel, DAY_MS, RefusalCode, UnixMs};

pub use colour::Colour;
pub use read::Problem;

/// Who may send what. Without a file: everybody, everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    version: Box<str>,
    /// `None` without a file.
    tenants: Option<BTreeMap<Box<str>, Tenant>>,
    /// Whose each sender is: several share a short code.
    owners: BTreeMap<Box<str>, Vec<Box<str>>>,
    /// Whom to go by without a file: nobody is forbidden anything.
    anybody: Tenant,
}

/// One tenant's rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tenant {
    id: Box<str>,
    channels: Option<Vec<Channel>>,
    senders: Vec<Box<str>>,
    consent_required: Vec<Channel>,
    /// The last day, counted from 1970-01-01 (UTC).
    contract_until: Option<i64>,
    suspended: bool,
    display_name: Option<Box<str>>,
    accent: Option<Colour>,
    unsubscribe_tokens: bool,
    stop_words: Vec<Box<str>>,
    start_words: Vec<Box<str>>,
}

/// A job that the policy does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// Which rule.
    pub code: RefusalCode,
    /// The article or the key of the policy that it rests on.
    pub rule: &'static str,
    /// In words.
    pub message: &'static str,
}

impl Policy {
    /// Reads `text`, the content of a policy file.
    ///
    /// # Errors
    /// Everything that is wrong with it, with its line.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        read::read(text)
    }

    fn of(version: Box<str>, tenants: BTreeMap<Box<str>, Tenant>) -> Self {
        let mut owners = BTreeMap::<_, Vec<_>>::new();
        for tenant in tenants.values() {
            for sender in &tenant.senders {
                owners.entry(sender.clone()).or_default().push(tenant.id.clone());
            }
        }
        Self { version, tenants: Some(tenants), owners, anybody: Tenant::default() }
    }

    /// What stamps name; empty without a policy.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The rules of `tenant`; without a policy those of everybody, which forbid nothing. `None` for one that the policy has not.
    #[must_use]
    pub fn tenant(&self, tenant: &str) -> Option<&Tenant> {
        self.tenants.as_ref().map_or(Some(&self.anybody), |tenants| tenants.get(tenant))
    }

    /// The tenants that have `sender` among theirs, in order: a short code is often shared (semantics, section 3).
    #[must_use]
    pub fn owners(&self, sender: &str) -> &[Box<str>] {
        self.owners.get(sender).map_or(&[], Vec::as_slice)
    }

    /// Whether a job of `tenant` may go on `channel` from `sender` at `now_ms`, and the rules that it goes by.
    ///
    /// # Errors
    /// [`Denied`], by the first rule that forbids it.
    pub fn judge(
        &self,
        tenant: &str,
        channel: Channel,
        sender: &str,
        now_ms: UnixMs,
    ) -> Result<&Tenant, Denied> {
        let rules = self.tenant(tenant).ok_or(Denied {
            code: RefusalCode::UnknownTenant,
            rule: "GDPR art. 28(3)",
            message: "the policy has no such tenant: there is no contract to send for it under",
        })?;
        rules.allows(channel, sender, now_ms).map(|()| rules)
    }
}

impl Tenant {
    fn allows(&self, channel: Channel, sender: &str, now_ms: UnixMs) -> Result<(), Denied> {
        let denied = |code, rule, message| Err(Denied { code, rule, message });
        if self.suspended {
            return denied(RefusalCode::TenantSuspended, "tenant.suspended", "the tenant is suspended");
        }
        if self.contract_until.is_some_and(|last| now_ms.div_euclid(DAY_MS) > last) {
            let message = "the contract has ended, and with it the controller's instruction to process";
            return denied(RefusalCode::ContractEnded, "GDPR art. 28(3)", message);
        }
        if self.channels.as_ref().is_some_and(|channels| !channels.contains(&channel)) {
            let message = "the tenant does not send on this channel";
            return denied(RefusalCode::ChannelNotAllowed, "tenant.channels", message);
        }
        if !self.senders.is_empty() && !sender.is_empty() && !self.senders.iter().any(|own| **own == *sender)
        {
            let message = "the sender is not one of the tenant's";
            return denied(RefusalCode::SenderNotAllowed, "tenant.senders", message);
        }
        Ok(())
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether marketing on `channel` needs a consent in force.
    #[must_use]
    pub fn needs_consent(&self, channel: Channel) -> bool {
        self.consent_required.contains(&channel)
    }

    /// Its name as people know it: on the unsubscribe page.
    #[must_use]
    pub fn display_name(&self) -> Option<&str> {
        self.display_name.as_deref()
    }

    /// The colour of its unsubscribe page.
    #[must_use]
    pub fn accent(&self) -> Option<Colour> {
        self.accent
    }

    /// Whether each recipient of its e-mail jobs gets a token of its own in the delivery.
    #[must_use]
    pub fn unsubscribe_tokens(&self) -> bool {
        self.unsubscribe_tokens
    }

    /// Words that are stops for it besides those of every tenant.
    #[must_use]
    pub fn stop_words(&self) -> &[Box<str>] {
        &self.stop_words
    }

    /// Words that are starts for it besides those of every tenant.
    #[must_use]
    pub fn start_words(&self) -> &[Box<str>] {
        &self.start_words
    }
}

/// The policy in use, which a new file replaces. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Current(Arc<RwLock<Arc<Policy>>>);

impl Current {
    /// With this one.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(policy))))
    }

    /// The one in use now; kept for a batch or a call, so that it is judged by one policy.
    #[must_use]
    pub fn load(&self) -> Arc<Policy> {
        self.0.read().clone()
    }

    /// Puts another in use.
    pub fn replace(&self, policy: Policy) {
        *self.0.write() = Arc::new(policy);
    }
}

#[cfg(test)]
mod tests;
