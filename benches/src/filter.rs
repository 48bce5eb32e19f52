//! Filters that are too large for a broker in memory: made in this process, and left as a snapshot for tamis to find at its
//! start.
//!
//! Such a snapshot is begun while the log is empty, and all its records come while it is written. So it claims the log's
//! beginning, which is as far as the broker's log goes, and knows them all the same: what any snapshot may do that is taken
//! while the filter is in use ([`tamis_suppression::snapshot`]).

use anyhow::{Result, ensure};
use std::cell::OnceCell;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use tamis_bus::kafka::Kafka;
use tamis_bus::{Bus as _, LogIdentity, Positions};
use tamis_campaign::{Channel, Purpose, UnixMs};
use tamis_pipeline::{Filter, snapshots};
use tamis_subject::{Subject, Subjects};
use tamis_suppression::Index;
use tamis_suppression::snapshot::{self, About, Folder, Order, Shared as _, Stamp};
use tamis_wire::record::Record;

use crate::setting::{PATIENCE, Setting};
use crate::{made, people};

/// Records whose growth is prepared for at once, and that are foreseen at once: as the line's follower does.
const READ: usize = 4_096;
const NEAR: usize = 64;
/// People who are looked for once a filter is loaded.
const SAMPLE: u64 = 1_000;

/// How large a filter is.
///
/// [`people::TENANT`] has all people whom the jobs meet, in every filter, so that jobs lose the same 5 %. Everybody else is
/// never written to: of that tenant too where it is the only one, of all others in turn where there are more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Millions of subjects that are asked for.
    pub millions: u64,
    /// Tenants that have records.
    pub tenants: u64,
}

impl Size {
    /// Subjects in it, with a record each. Other tenants have a million at least: without any there would be one tenant.
    #[must_use]
    pub fn subjects(self) -> u64 {
        people::SUPPRESSED + self.others()
    }

    fn others(self) -> u64 {
        let others = (self.millions * 1_000_000).saturating_sub(people::SUPPRESSED);
        if self.tenants > 1 { others.max(1_000_000) } else { others }
    }

    /// Whose the `n`-th of those is that no job meets; 0 is the jobs' own tenant.
    fn tenant(self, n: u64) -> u64 {
        if self.tenants > 1 { 1 + n % (self.tenants - 1) } else { 0 }
    }

    /// Whether `filter` is of this size and has those whom the jobs meet.
    ///
    /// # Errors
    /// When it is not, or has not.
    pub fn check(self, filter: &Filter) -> Result<()> {
        let view = filter.read();
        let (subjects, should) = (view.subjects() as u64, self.subjects());
        ensure!(subjects == should, "the filter has {subjects} subjects, not {should}");
        let selection = view.select(people::TENANT, "", Channel::Sms, Purpose::Marketing);
        for number in people::suppressed(SAMPLE) {
            let subject = view.key().phone(&number)?;
            ensure!(selection.hit(&subject).is_some(), "somebody whom the jobs meet is not in the filter");
        }
        Ok(())
    }
}

/// Makes a filter for the suppression log of `setting`, and leaves its snapshot in `folder`. All of it is in memory meanwhile,
/// some 55 bytes a subject.
///
/// # Errors
/// When the broker does not say which log that is, the folder can't be written, or tamis would not take the snapshot.
pub fn make(setting: &Setting, size: Size, folder: &Path) -> Result<About> {
    let log = Kafka::new(setting.config("filter"))?.suppression_log(PATIENCE)?;
    let about = write(&log, &setting.subjects, size, folder)?;
    let beginning = Positions::zero(usize::try_from(log.partitions)?);
    snapshots::fits(&about, &log, &setting.subjects, &beginning)?;
    ensure!(about.subjects == size.subjects(), "the snapshot has {} subjects", about.subjects);
    Ok(about)
}

fn write(log: &LogIdentity, subjects: &Subjects, size: Size, folder: &Path) -> Result<About> {
    let now_ms = UnixMs::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let filter = Filter::new(usize::try_from(log.partitions)?, subjects.clone());
    let of = filter.read().life();
    let stamp = Stamp {
        cluster: log.cluster.clone(),
        topic: log.topic.clone(),
        scheme: subjects.newest(),
        key_check: subjects.check_value(subjects.newest()).unwrap_or_default(),
    };
    // Asked before each segment: before the first one the position is noted, and nothing is copied yet.
    let filled = OnceCell::new();
    let go_on = || filled.get_or_init(|| filter.with(|index| fill(index, subjects, size, now_ms))).is_ok();
    let order = Order { stamp, told_scheme: subjects.newest(), taken_at_ms: now_ms, of, go_on: &go_on };
    let written = snapshot::write(&Folder::at(folder), order, &filter);
    // That it could not be filled says more than that it was given up.
    filled.into_inner().transpose()?;
    Ok(written?.1)
}

/// Applies all records, as a follower does that has the filter for itself.
fn fill(index: &mut Index, subjects: &Subjects, size: Size, now_ms: UnixMs) -> Result<()> {
    let mut records = records(size);
    let met = people::suppressed(people::SUPPRESSED).map(|number| Ok((0, subjects.phone(&number)?)));
    let others = (0..size.others()).map(|n| Ok((size.tenant(n), made::subject(n))));
    let mut coming = met.chain(others);
    let mut offset = 0;
    loop {
        let some = coming.by_ref().take(READ).collect::<Result<Vec<(u64, Subject)>>>()?;
        if some.is_empty() {
            return settle(index);
        }
        drop(index.accept(index.prepare(some.iter().map(|(_, subject)| subject), 0)?));
        for near in some.chunks(NEAR) {
            index.foresee(near.iter().map(|(_, subject)| subject));
            for (tenant, subject) in near {
                let record = &mut records[usize::try_from(*tenant)?];
                record.subject = *subject;
                index.apply(0, offset, now_ms, record)?;
                offset += 1;
            }
        }
    }
}

/// One of each tenant, the jobs' own first, to be given one subject after the other.
fn records(size: Size) -> Vec<Record> {
    let tenant = |n| if n == 0 { people::TENANT.to_owned() } else { format!("tenant-{n:04}") };
    (0..size.tenants).map(|n| people::opted_out(made::subject(0), &tenant(n))).collect()
}

/// Gives back the room that growth has left, as a service does in quiet moments once it is loaded.
fn settle(index: &mut Index) -> Result<()> {
    index.settle();
    loop {
        let prepared = index.prepare(std::iter::empty(), 1)?;
        if prepared.is_empty() {
            return Ok(());
        }
        drop(index.accept(prepared));
    }
}

#[cfg(test)]
mod tests {
    use super::Size;

    /// Guarantees: a filter of one tenant is as large as was asked, and one of more has records of each of them.
    #[test]
    fn every_tenant_has_its_part_of_a_filter() {
        assert_eq!(Size { millions: 1, tenants: 1 }.subjects(), 1_000_000);
        assert_eq!(Size { millions: 100, tenants: 1 }.subjects(), 100_000_000);
        assert_eq!(Size { millions: 1, tenants: 1_000 }.subjects(), 2_000_000);
        let size = Size { millions: 100, tenants: 1_000 };
        assert_eq!(size.subjects(), 100_000_000);
        let mut tenants: Vec<u64> = (0..5_000).map(|n| size.tenant(n)).collect();
        tenants.sort_unstable();
        tenants.dedup();
        assert_eq!(tenants, (1..1_000).collect::<Vec<_>>());
    }
}
