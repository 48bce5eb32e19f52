//! Addresses whose subjects are made together, in a fraction of the time that each would take alone.

use std::fmt;

use tamis_campaign::{Channel, Identity, Tenant};

use crate::lanes::{self, Blocks};
use crate::redacted::REDACTED;
use crate::subjects::StepKey;
use crate::{Invalid, Postal, Subject, Subjects, canonical};

/// Octets of the longest message that goes with others: three whole blocks and a rest.
const SHORT_MOST: usize = 31;

/// Canonical forms on their way to subjects, and the subjects of them, in the order in which they were put. Its memory is
/// reused; `Debug` prints `<redacted>`.
#[derive(Default)]
pub struct Batch {
    /// By their blocks: telephone numbers have two, most contacts and e-mail addresses three or four.
    two: Group<2>,
    three: Group<3>,
    four: Group<4>,
    /// Those of other lengths, each made at once.
    alone: Vec<(u32, Subject)>,
    /// How many were put.
    count: u32,
    subjects: Vec<Subject>,
    hashed: Vec<Subject>,
}

/// Messages of one length in blocks, and whose each is: a number into the batch.
#[derive(Default)]
struct Group<const B: usize> {
    messages: Vec<Blocks<B>>,
    numbers: Vec<u32>,
}

impl Batch {
    /// Forgets what was put before.
    pub fn clear(&mut self) {
        self.subjects.clear();
        self.count = 0;
        self.alone.clear();
        self.two.clear();
        self.three.clear();
        self.four.clear();
    }

    /// The subjects of all that was put before [`Batch::make`].
    #[inline]
    #[must_use]
    pub fn subjects(&self) -> &[Subject] {
        &self.subjects
    }

    /// Puts what stands in `Recipient.address` of a job of `channel`.
    ///
    /// # Errors
    /// As [`Subjects::address`]; nothing is put then.
    #[inline]
    pub fn put_address(&mut self, by: &Subjects, channel: Channel, address: &[u8]) -> Result<(), Invalid> {
        match channel {
            Channel::Sms | Channel::Voice | Channel::Fax if self.put_usual_phone(address) => Ok(()),
            _ => by.with_form(channel, address, |octets, length| self.put(by, octets, length)),
        }
    }

    /// Puts telephone numbers until one comes that is not in its usual writing, `+` and 8 to 13 digits of a plan that keeps them as they
    /// are; how many.
    #[inline]
    pub fn put_usual_phones<'a>(
        &mut self,
        addresses: impl ExactSizeIterator<Item = Option<&'a [u8]>>,
    ) -> usize {
        let Self { two, count, .. } = self;
        let (before, most) = (two.messages.len(), addresses.len());
        two.messages.resize(before + most, [0; 2]);
        let mut put = 0;
        for (message, address) in two.messages[before..].iter_mut().zip(addresses) {
            let Some(usual) = address.and_then(usual_phone) else { break };
            *message = usual;
            put += 1;
        }
        two.messages.truncate(before + put);
        two.numbers.extend((*count..).take(put));
        *count += put as u32;
        put
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "measured: a tenth of a whole decision went into calling it")]
    fn put_usual_phone(&mut self, address: &[u8]) -> bool {
        let Some(message) = usual_phone(address) else { return false };
        self.two.push(self.count, message);
        self.count += 1;
        true
    }

    /// Puts nobody: a subject of no meaning, so that the numbers of those that come are what they would have been.
    pub fn put_nobody(&mut self) {
        self.put_alone(Subject::of_words([0; 2]));
    }

    /// Puts a person at a postal address.
    ///
    /// # Errors
    /// As [`Subjects::postal`]; nothing is put then.
    pub fn put_postal(&mut self, by: &Subjects, address: &Postal<'_>) -> Result<(), Invalid> {
        self.put_alone(by.first_of_postal(address)?);
        Ok(())
    }

    /// Puts a tenant's own contact id.
    pub fn put_contact(&mut self, by: &Subjects, tenant: Tenant<'_>, contact: &[u8]) {
        let length = 1 + tenant.as_str().len() + 1 + contact.len();
        let mut octets = [0; SHORT_MOST + 1];
        if length > SHORT_MOST {
            return self.put_alone(by.first_of_contact(tenant, contact));
        }
        octets[0] = Identity::Contact.number() as u8;
        octets[1..][..tenant.as_str().len()].copy_from_slice(tenant.as_str().as_bytes());
        octets[length - contact.len()..length].copy_from_slice(contact);
        self.put(by, &octets, length);
    }

    /// Makes the subjects of all that was put since the last time.
    pub fn make(&mut self, by: &Subjects) {
        let Self { two, three, four, alone, count, subjects, hashed } = self;
        let (first, later) = by.steps();
        let new = subjects.len()..*count as usize;
        subjects.resize(new.end, Subject::of_words([0; 2]));
        two.make(first, hashed, subjects);
        three.make(first, hashed, subjects);
        four.make(first, hashed, subjects);
        for (number, subject) in alone.drain(..) {
            subjects[number as usize] = subject;
        }
        for &step in later {
            three.messages.extend(subjects[new.clone()].iter().map(|subject| lanes::of_subject(*subject)));
            lanes::hash(step, &three.messages, &mut subjects[new.clone()]);
            three.messages.clear();
        }
    }

    /// Puts a message of the keyed function: the first `length` of `octets`, `identity ‖ canonical`.
    #[inline]
    fn put(&mut self, by: &Subjects, octets: &[u8], length: usize) {
        let number = self.count;
        if self.two.put(number, octets, length)
            || self.three.put(number, octets, length)
            || self.four.put(number, octets, length)
        {
            self.count += 1;
        } else {
            self.put_alone(by.first_of(&octets[..length]));
        }
    }

    fn put_alone(&mut self, subject: Subject) {
        self.alone.push((self.count, subject));
        self.count += 1;
    }
}

/// The message of a telephone number in its usual writing.
#[inline(always)]
#[expect(clippy::inline_always, reason = "as its callers")]
fn usual_phone(address: &[u8]) -> Option<Blocks<2>> {
    // With its identity, of two blocks.
    if address.len() > 14 {
        return None;
    }
    lanes::ended(canonical::dense(address)?, 1 + address.len())
}

impl<const B: usize> Group<B> {
    fn clear(&mut self) {
        self.messages.clear();
        self.numbers.clear();
    }

    /// Takes a message of `B` blocks.
    #[inline]
    fn put(&mut self, number: u32, octets: &[u8], length: usize) -> bool {
        let Some(message) = lanes::blocks(octets, length) else { return false };
        self.push(number, message);
        true
    }

    #[inline]
    fn push(&mut self, number: u32, message: Blocks<B>) {
        self.messages.push(message);
        self.numbers.push(number);
    }

    /// Puts the subjects of all that were taken to where they belong in `to`, and forgets them.
    #[inline]
    fn make(&mut self, key: StepKey, hashed: &mut Vec<Subject>, to: &mut [Subject]) {
        let (Some(&first), Some(&last)) = (self.numbers.first(), self.numbers.last()) else { return };
        if let Some(to) =
            to.get_mut(first as usize..=last as usize).filter(|to| to.len() == self.numbers.len())
        {
            // No other came between.
            lanes::hash(key, &self.messages, to);
        } else {
            hashed.resize(self.messages.len(), Subject::of_words([0; 2]));
            lanes::hash(key, &self.messages, hashed);
            for (number, subject) in self.numbers.iter().zip(hashed) {
                to[*number as usize] = *subject;
            }
        }
        self.clear();
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Key, Region};

    #[derive(Debug, Clone)]
    enum Put {
        Address(Channel, String),
        Contact(String),
        Postal(String),
    }

    fn put() -> impl Strategy<Value = Put> {
        let channel = prop::sample::select(Channel::ALL);
        let address = prop_oneof![
            "\\+33[67][0-9]{8}",
            "0[67] [0-9]{2} [0-9]{2} [0-9]{2} [0-9]{2}",
            "\\+1 ?[2-9][0-9]{9}",
            "[a-z]{1,40}@[a-z]{1,20}\\.example",
            " ?",
        ];
        prop_oneof![
            4 => (channel, address).prop_map(|(channel, address)| Put::Address(channel, address)),
            1 => "[a-z0-9é]{0,40}".prop_map(Put::Contact),
            1 => "[A-Za-z ]{0,20}".prop_map(Put::Postal),
        ]
    }

    fn postal(name: &str) -> Postal<'_> {
        Postal { name, street: "", extra: "", postal_code: "75001", city: "", country: "FR" }
    }

    proptest! {
        /// Guarantees: together they have the subjects that each has alone, in the order in which they were put, under whatever
        /// step of the key and however many are made at a time; what is no address is refused alike, and leaves nothing behind; usual
        /// telephone numbers that begin a block are put at once.
        #[test]
        fn subjects_made_together_are_those_made_alone(
            jobs in prop::collection::vec(prop::collection::vec(put(), 0..30), 1..4),
            steps in 0u8..3,
            block in 1usize..40,
        ) {
            let first = Key::generate().expect("random bytes");
            let key = (0..steps).fold(first, |key, _| key.with_another_step().expect("there is room"));
            let by = Subjects::new(&key, Region::parse("FR").expect("a region"));
            let tenant = Tenant::parse("acme").expect("a tenant");
            let mut batch = Batch::default();
            for job in &jobs {
                batch.clear();
                let mut alone = Vec::new();
                let mut usual = 0;
                for (at, put) in job.iter().enumerate() {
                    if at % block == 0 {
                        batch.make(&by);
                        usual = batch.put_usual_phones(job[at..].iter().take(block).map(|put| match put {
                            Put::Address(Channel::Sms | Channel::Voice | Channel::Fax, address) => Some(address.as_bytes()),
                            _ => None,
                        }));
                    }
                    if let (Some(left), Put::Address(channel, address)) = (usual.checked_sub(1), put) {
                        usual = left;
                        alone.push(by.address(*channel, address.as_bytes()).expect("a usual number"));
                        continue;
                    }
                    let (together, one) = match put {
                        Put::Address(channel, address) => {
                            let address = address.as_bytes();
                            (batch.put_address(&by, *channel, address), by.address(*channel, address))
                        }
                        Put::Contact(contact) => {
                            batch.put_contact(&by, tenant, contact.as_bytes());
                            (Ok(()), Ok(by.contact(tenant, contact.as_bytes())))
                        }
                        Put::Postal(name) => (batch.put_postal(&by, &postal(name)), by.postal(&postal(name))),
                    };
                    prop_assert_eq!(together, one.map(|_| ()));
                    alone.extend(one);
                }
                batch.make(&by);
                prop_assert!(batch.subjects() == alone);
            }
        }
    }
}
