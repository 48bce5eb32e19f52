//! Loading: one thread takes records from the log's client, which costs as much as applying them, while another applies them.

use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::bounded;
use tamis_bus::{Bus, EndOffsets as _, Positions};

use super::{Follow, POLL_WAIT, RETRY, Reader};
use crate::Stopped;
use crate::barrier::ASK_TIMEOUT;

/// Polls that may wait to be applied: enough that neither thread waits for the other's longer steps.
const AHEAD_MAX: usize = 4;

impl<B: Bus> Follow<B> {
    /// Where the log ends now, asked until it answers; `None` when told to stop.
    pub(super) fn target(&self, asker: &mut B::EndOffsets) -> Option<Positions> {
        while !self.stop.load(Ordering::Relaxed) {
            match asker.ask(ASK_TIMEOUT) {
                Ok(end) => return Some(end),
                Err(error) => {
                    tracing::warn!(%error, "suppression log cannot be asked: not loading yet");
                    std::thread::sleep(RETRY);
                }
            }
        }
        None
    }

    /// Reads and applies until the filter stands at `target`, a record can't be read, or it is told to stop. All that was read
    /// is applied. `note` is told of each poll: how many records, and where the filter stands.
    pub(super) fn load(
        &self,
        follower: &mut B::Follower,
        reader: &mut Reader,
        target: &Positions,
        mut note: impl FnMut(u64, &Positions),
    ) -> Result<(), Stopped> {
        let arrived = &AtomicBool::new(self.filter.position().reaches(target));
        std::thread::scope(|scope| {
            let (sender, read) = bounded(AHEAD_MAX);
            let take = move || {
                while !arrived.load(Ordering::Relaxed) && !self.stop.load(Ordering::Relaxed) {
                    let steps = self.poll(follower, reader, POLL_WAIT);
                    let last = steps.is_err() || reader.stuck_at().is_some();
                    if sender.send(steps).is_err() || last {
                        break;
                    }
                }
            };
            std::thread::Builder::new()
                .name("follow-read".into())
                .spawn_scoped(scope, take)
                .expect("a thread can be made at start: out of memory otherwise");
            for steps in read {
                let steps = steps?;
                self.apply(&steps)?;
                let position = self.filter.position();
                note(steps.len() as u64, &position);
                arrived.fetch_or(position.reaches(target), Ordering::Relaxed);
            }
            Ok(())
        })
    }
}
