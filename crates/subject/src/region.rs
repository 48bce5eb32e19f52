//! The region whose national telephone numbers are read without a country code.

use std::fmt;

use rlibphonenumber::PHONE_NUMBER_UTIL;

use crate::canonical::plans::{self, National};

/// A region with a numbering plan: what `identity.default_region` names.
#[derive(Clone, Copy)]
pub struct Region {
    pub(crate) library: rlibphonenumber::Region,
    /// What the fast path may do with this region's national numbers, if anything.
    pub(crate) national: Option<&'static National>,
}

impl Region {
    /// Takes two capital letters of ISO 3166, such as `FR`.
    ///
    /// # Errors
    /// [`UnknownRegion`] when it is not that, or has no numbering plan.
    pub fn parse(text: &str) -> Result<Self, UnknownRegion> {
        let &[a @ b'A'..=b'Z', b @ b'A'..=b'Z'] = text.as_bytes() else { return Err(UnknownRegion) };
        let library = PHONE_NUMBER_UTIL
            .get_supported_regions()
            .find(|region| region.as_region_str().as_bytes() == [a, b])
            .ok_or(UnknownRegion)?;
        Ok(Self { library, national: plans::national([a, b]) })
    }

    /// The two letters.
    #[must_use]
    pub fn as_string(self) -> String {
        self.library.as_region_str().to_string()
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region({})", &*self.library.as_region_str())
    }
}

impl PartialEq for Region {
    fn eq(&self, other: &Self) -> bool {
        self.library == other.library
    }
}

impl Eq for Region {}

/// The text names no region with telephone numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a region with telephone numbers: write two capital letters of ISO 3166, such as FR")]
pub struct UnknownRegion;
