//! Addresses that came before in the same job: a small table that is emptied for each.

use tamis_subject::Subject;

/// Slots for each recipient, at least: few enough for the first cache, and so many that most find an empty one.
const SPREAD: usize = 4;

/// Recipients by subject, in chains: 0 is the end of one, else a recipient's number and one.
///
/// All are noted without a look at each other, and the few with company in their slot compared afterwards: whether there is any
/// is chance, which a processor that guesses ahead loses time with.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    slots: Vec<u32>,
    /// By recipient: who was noted in its slot before it.
    before: Vec<u32>,
    /// The recipients before whom somebody was.
    doubtful: Vec<u32>,
}

impl Repeats {
    /// Those of a job's recipients that are `kept` and whose subject is that of another before them that is, in their order;
    /// `subjects` are all of the job's. All sixteen bytes are compared.
    pub(crate) fn of(&mut self, subjects: &[Subject], kept: &[bool]) -> &[u32] {
        self.note(subjects);
        let Self { before, doubtful, .. } = self;
        let before = |number: u32| before[number as usize].checked_sub(1);
        doubtful.retain(|number| {
            let is_same =
                |other: u32| kept[other as usize] && subjects[other as usize] == subjects[*number as usize];
            kept[*number as usize]
                && std::iter::successors(before(*number), |other| before(*other)).any(is_same)
        });
        doubtful
    }

    fn note(&mut self, subjects: &[Subject]) {
        self.slots.clear();
        self.slots.resize((subjects.len() * SPREAD).next_power_of_two(), 0);
        self.before.resize(subjects.len(), 0);
        self.doubtful.resize(subjects.len(), 0);
        let mask = self.slots.len() - 1;
        let mut in_doubt = 0;
        for (number, (subject, before)) in subjects.iter().zip(&mut self.before).enumerate() {
            // Other bits than the dictionary's hash, though either would do. A job's recipients are counted by 32 bits.
            #[expect(clippy::cast_possible_truncation, reason = "any bits do, and see above")]
            let (slot, number) = (subject.words()[1] as usize & mask, number as u32);
            let last = std::mem::replace(&mut self.slots[slot], number + 1);
            *before = last;
            self.doubtful[in_doubt] = number;
            in_doubt += usize::from(last != 0);
        }
        self.doubtful.truncate(in_doubt);
    }
}
