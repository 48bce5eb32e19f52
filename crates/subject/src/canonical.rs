//! Canonical forms, scheme 1: what makes two writings of an address the same.
//!
//! For tests and for tools that must see the form itself; everything else asks [`crate::Subjects`].

mod email;
mod phone;
pub(crate) mod plans;
mod postal;
mod text;

pub use email::email;
pub(crate) use email::email_into;
pub use phone::phone;
pub(crate) use phone::{dense, phone_into};
pub use postal::{Postal, PostalForm, postal};
pub use text::{Email, Form, Phone};

#[cfg(test)]
mod tests;

/// Why an address has no subject (contract, section 9, "Reading a recipient").
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Empty or blank, or no postal address.
    #[error("no address")]
    Missing,
    /// Something is there, and it is not an address of its kind.
    #[error("not an address")]
    NotAnAddress,
}
