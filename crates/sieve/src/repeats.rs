//! Addresses that came before in the same job: a small table that is emptied for each.

use tamis_subject::Subject;

/// Slots for each recipient, at least: few enough for the first cache, and so many that most find an empty one.
const SPREAD: usize = 4;

/// Recipients by subject, in chains: 0 is the end of one, else a recipient's number and one.
///
/// Recipients are noted without a look at each other, and the few with company in their slot compared afterwards: whether there is any
/// is chance, which a processor that guesses ahead loses time with.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    slots: Vec<u32>,
    /// By recipient: who was noted in its slot before it.
    before: Vec<u32>,
    /// The recipients before whom somebody was: the first `in_doubt` of these.
    doubtful: Vec<u32>,
    in_doubt: usize,
}

impl Repeats {
    /// Begins a job of `recipients`.
    pub(crate) fn begin(&mut self, recipients: usize) {
        self.slots.clear();
        self.slots.resize((recipients * SPREAD).next_power_of_two(), 0);
        self.before.resize(recipients, 0);
        self.doubtful.resize(recipients, 0);
        self.in_doubt = 0;
    }

    /// Notes recipient `number`, whose subject is `subject`; their numbers ascend.
    #[inline]
    pub(crate) fn note(&mut self, number: u32, subject: &Subject) {
        let mask = self.slots.len() - 1;
        // Other bits than the dictionary's hash, though either would do.
        #[expect(clippy::cast_possible_truncation, reason = "any bits do")]
        let last = &mut self.slots[subject.words()[1] as usize & mask];
        let before = std::mem::replace(last, number + 1);
        self.before[number as usize] = before;
        self.doubtful[self.in_doubt] = number;
        self.in_doubt += usize::from(before != 0);
    }

    /// Those noted whose subject came before, in their order; `subjects` are all of the job's. All sixteen bytes are compared.
    pub(crate) fn found<'r>(&'r self, subjects: &'r [Subject]) -> impl Iterator<Item = u32> + 'r {
        let before = |number: u32| self.before[number as usize].checked_sub(1);
        self.doubtful[..self.in_doubt].iter().copied().filter(move |number| {
            let subject = subjects[*number as usize];
            std::iter::successors(before(*number), |other| before(*other))
                .any(|other| subjects[other as usize] == subject)
        })
    }
}
