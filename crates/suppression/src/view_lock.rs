//! One writer, many readers: the lock that an index in use is behind.

use std::hint::spin_loop;
use std::ops::{Deref, DerefMut};
use std::thread;

use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Tries in a row: some 80 µs on a Xeon, about as long as the longest change takes.
///
/// Whoever is woken waits for a processor besides, up to some ticks of 4 ms each where processors are short, and a writer that is
/// woken has claimed the lock already, so that all readers wait for its processor too: 3 to 17 ms where a change took 0.3 (measured
/// 2026-11-28, `benches/results`).
const TRIES: u32 = 2_048;
/// Rounds of tries before a writer claims the lock: longer than readers hold a view. Between them it lets others go first, since a reader
/// without a processor may be what it waits for.
const ROUNDS: u32 = 32;

/// What readers see the same of for as long as they look, and one writer changes in short steps.
///
/// Whoever changes it, or looks at it for longer than a moment, waits for others of that kind at a lock of their own: in front of
/// the view a writer that has to wait holds up every reader who comes after it. No thread may hold two of its guards, or take one in
/// `hold_still`.
#[derive(Debug)]
pub struct ViewLock<T> {
    view: RwLock<T>,
    turn: Mutex<()>,
}

impl<T> ViewLock<T> {
    /// One that is not in use yet.
    pub const fn new(view: T) -> Self {
        Self { view: RwLock::new(view), turn: Mutex::new(()) }
    }

    /// One consistent view, for as long as the guard is held. The writer waits meanwhile, and at last whoever comes after the writer: so
    /// hold it for well under a millisecond, or use [`ViewLock::hold_still`].
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        tried(|| self.view.try_read()).unwrap_or_else(|| self.view.read())
    }

    /// A longer look at one consistent view: the writer waits for it, readers do not.
    pub fn hold_still<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        let _turn = self.turn.lock();
        look(&self.view.read())
    }

    /// The view to be changed in one step that no reader sees half of. Everybody waits for it, so it is short.
    pub fn write(&self) -> Change<'_, T> {
        let turn = self.turn.lock();
        // A look first: a try takes the lock's line from the reader who is about to give it back.
        let free = || if self.view.is_locked() { None } else { self.view.try_write() };
        let view = (0..ROUNDS).find_map(|round| {
            if round > 0 {
                thread::yield_now();
            }
            tried(free)
        });
        Change { view: view.unwrap_or_else(|| self.view.write()), _turn: turn }
    }
}

fn tried<G>(guard: impl Fn() -> Option<G>) -> Option<G> {
    (0..TRIES).find_map(|_| {
        guard().or_else(|| {
            spin_loop();
            None
        })
    })
}

/// One change of what readers see, until it is dropped.
#[derive(Debug)]
#[must_use = "it is over when this is dropped"]
pub struct Change<'l, T> {
    // Readers first: fields are dropped in this order.
    view: RwLockWriteGuard<'l, T>,
    _turn: MutexGuard<'l, ()>,
}

impl<T> Deref for Change<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.view
    }
}

impl<T> DerefMut for Change<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.view
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::time::Duration;

    use super::*;

    /// Guarantees: while somebody takes a long look and the writer waits for it, others read.
    /// Fails when: the writer waits for a long look in front of the view, where every later reader queues behind it.
    #[test]
    fn a_long_look_holds_up_the_writer_and_no_reader() {
        let lock = ViewLock::new(0);
        let (looking, looked) = (Barrier::new(2), Barrier::new(2));
        thread::scope(|scope| {
            scope.spawn(|| {
                lock.hold_still(|_| {
                    looking.wait();
                    looked.wait();
                });
            });
            looking.wait();
            scope.spawn(|| *lock.write() += 1);
            // Until the writer waits, and for a while after that.
            for _ in 0..100 {
                let seen = lock.view.try_read_for(Duration::from_secs(10)).map(|view| *view);
                if seen.is_none() {
                    looked.wait();
                }
                assert_eq!(seen, Some(0), "a reader waits behind the writer, or the writer did not wait");
                thread::sleep(Duration::from_millis(2));
            }
            looked.wait();
        });
        assert_eq!(*lock.read(), 1);
    }

    /// Guarantees: who has tried often enough waits, and comes to its turn: a writer behind a view that is held for long, readers
    /// behind a step that takes long, and no step is lost or seen half, however many there are.
    /// Fails when: a try is taken for the lock; the second half of a step is made without it; a waiting thread is not woken.
    #[test]
    fn steps_and_views_wait_for_each_other_and_none_is_lost() {
        let (threads, steps) = if cfg!(miri) { (2, 4) } else { (4, 200) };
        let lock = ViewLock::new((0, 0));
        let pause = |n: u32| {
            if n.is_multiple_of(50) {
                // Longer than all tries of all rounds.
                thread::sleep(Duration::from_millis(10));
            }
        };
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    for n in 0..steps {
                        let mut step = lock.write();
                        step.0 += 1;
                        pause(n);
                        step.1 += 1;
                    }
                });
                scope.spawn(|| {
                    for n in 0..steps {
                        let view = lock.read();
                        let first = view.0;
                        pause(n);
                        assert_eq!((first, first), *view, "half a step");
                    }
                });
            }
        });
        assert_eq!(*lock.read(), (threads * steps, threads * steps));
    }
}
