//! Everything that is left to chance, from one seed.
//!
//! Two streams: what happens next, and whether a fault strikes. A fault's fate hangs on the seed and on the number of
//! its opportunity alone, so that one fault can be taken away and the others stay, which is what shrinking does.

use crate::faults::Fault;

/// Odds are in parts of this.
const WHOLE: u64 = 1_024;

/// The dice of one schedule.
#[derive(Debug)]
pub(crate) struct Dice {
    seed: u64,
    state: u64,
    opportunity: u32,
    /// No faults any more.
    pub(crate) calm: bool,
    odds: [u16; Fault::COUNT],
    dropped: Vec<u32>,
    /// The faults that struck: the number of the opportunity, and the kind.
    pub(crate) struck: Vec<(u32, Fault)>,
}

impl Dice {
    /// From a seed. Half of the kinds of faults are left out of a schedule, and the others are more or less frequent:
    /// what never happens together with everything else is found as well ("swarm testing", Groce et al. 2012).
    pub(crate) fn new(seed: u64, dropped: &[u32]) -> Self {
        let mut dice = Self {
            seed,
            state: mix(seed),
            opportunity: 0,
            calm: false,
            odds: [0; Fault::COUNT],
            dropped: dropped.to_vec(),
            struck: Vec::new(),
        };
        for fault in Fault::ALL {
            if dice.one_in(2) {
                dice.odds[fault as usize] = fault.odds() << dice.below(3);
            }
        }
        dice
    }

    pub(crate) fn next(&mut self) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// 0 to `n - 1`; 0 when `n` is 0.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        // Without a division: the high half of the product (Lemire 2019); the bias is far below what matters here.
        let wide = u128::from(self.next()) * u128::from(n);
        u64::try_from(wide >> 64).expect("the high half of a product of two u64 is one")
    }

    /// As [`Dice::below`], for an index.
    pub(crate) fn index(&mut self, n: usize) -> usize {
        usize::try_from(self.below(n as u64)).expect("it is below a usize")
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// Whether this fault strikes here.
    pub(crate) fn fault(&mut self, fault: Fault) -> bool {
        let odds = u64::from(self.odds[fault as usize]);
        if self.calm || odds == 0 {
            return false;
        }
        let number = self.opportunity;
        self.opportunity += 1;
        let lot = mix(self.seed ^ u64::from(number).wrapping_mul(0xd134_2543_de82_ef95)) % WHOLE;
        let strikes = lot < odds && (self.dropped.is_empty() || !self.dropped.contains(&number));
        if strikes {
            self.struck.push((number, fault));
        }
        strikes
    }
}

/// Every bit of the result hangs on every bit of `z`.
pub(crate) fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
