//! The closed sets of the contract, each with its wire number and its lower-case name.

macro_rules! closed {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $number:literal, $text:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant = $number,)+ }

        impl $name {
            /// Every member, in the order of the numbers given here.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The number on the wire.
            #[must_use]
            pub const fn number(self) -> i32 {
                self as u8 as i32
            }

            /// The member with this number on the wire.
            #[must_use]
            pub const fn from_number(number: i32) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }

            /// The name in JSON and in metric labels.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The member with this name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|member| member.as_str() == name)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

closed! {
    /// How a message travels.
    Channel {
        /// SMS, with MMS.
        Sms = 1, "sms";
        /// E-mail.
        Email = 2, "email";
        /// A voice call.
        Voice = 3, "voice";
        /// Fax.
        Fax = 4, "fax";
        /// Post.
        Mail = 5, "mail";
    }
}

closed! {
    /// Why a message is sent. 0 on the wire is `Marketing`.
    Purpose {
        /// Direct marketing: every reason to drop applies.
        Marketing = 1, "marketing";
        /// A message that the person asked for or needs.
        Service = 2, "service";
    }
}

closed! {
    /// Why a recipient is dropped. When several apply the lowest number is reported.
    Reason {
        /// Erased on request (GDPR, article 17).
        Erased = 1, "erased";
        /// By an operator or a public list.
        Blocked = 2, "blocked";
        /// Complained to the gateway.
        Complaint = 3, "complaint";
        /// Answered STOP.
        StopReply = 4, "stop_reply";
        /// Unsubscribed.
        Unsubscribed = 5, "unsubscribed";
        /// Objected (GDPR, article 21).
        Objected = 6, "objected";
        /// Took consent back (GDPR, article 7(3)).
        ConsentWithdrawn = 7, "consent_withdrawn";
        /// The address does not exist.
        HardBounce = 8, "hard_bounce";
        /// The channel needs consent and none is in force. Never a record.
        NoConsent = 9, "no_consent";
    }
}

impl Reason {
    /// Whether this reason drops a message of `purpose` (the table of the contract, section 2).
    #[must_use]
    pub const fn drops(self, purpose: Purpose) -> bool {
        match (purpose, self) {
            (Purpose::Marketing, _) => true,
            (Purpose::Service, Self::Erased | Self::Blocked | Self::HardBounce) => true,
            (
                Purpose::Service,
                Self::Complaint
                | Self::StopReply
                | Self::Unsubscribed
                | Self::Objected
                | Self::ConsentWithdrawn
                | Self::NoConsent,
            ) => false,
        }
    }
}

closed! {
    /// What a suppression record is about: a reason to drop, or `Consent`, which is positive.
    RecordReason {
        /// See [`Reason::Erased`].
        Erased = 1, "erased";
        /// See [`Reason::Blocked`].
        Blocked = 2, "blocked";
        /// See [`Reason::Complaint`].
        Complaint = 3, "complaint";
        /// See [`Reason::StopReply`].
        StopReply = 4, "stop_reply";
        /// See [`Reason::Unsubscribed`].
        Unsubscribed = 5, "unsubscribed";
        /// See [`Reason::Objected`].
        Objected = 6, "objected";
        /// See [`Reason::ConsentWithdrawn`].
        ConsentWithdrawn = 7, "consent_withdrawn";
        /// See [`Reason::HardBounce`].
        HardBounce = 8, "hard_bounce";
        /// A positive record: consent given. What [`Reason::NoConsent`] looks for.
        Consent = 20, "consent";
    }
}

impl RecordReason {
    /// The reason a recipient is dropped for, `None` for consent.
    #[must_use]
    pub const fn drops(self) -> Option<Reason> {
        Reason::from_number(self.number())
    }
}

closed! {
    /// Why a recipient is rejected.
    RejectReason {
        /// Not an address of the channel.
        InvalidAddress = 1, "invalid_address";
        /// No address at all.
        MissingAddress = 2, "missing_address";
        /// Its address was forwarded or deferred earlier in the same job.
        DuplicateRecipient = 3, "duplicate_recipient";
        /// The recipient's own bytes are damaged.
        MalformedRecipient = 4, "malformed_recipient";
    }
}

closed! {
    /// What became of a job.
    Verdict {
        /// At least one recipient forwarded.
        Routed = 1, "routed";
        /// Nobody forwarded, nobody deferred.
        Empty = 2, "empty";
        /// Not to be sent, see the refusal.
        Refused = 3, "refused";
        /// Nobody forwarded, at least one deferred.
        Deferred = 4, "deferred";
        /// Decided before within the dedupe window.
        Duplicate = 5, "duplicate";
        /// Past its `not_after_ms`.
        Expired = 6, "expired";
    }
}

closed! {
    /// What kind of identity a subject was made from; the first byte that goes into the PRF.
    Identity {
        /// A phone number, for SMS, voice and fax alike.
        Phone = 1, "phone";
        /// An e-mail address.
        Email = 2, "email";
        /// A postal address.
        Postal = 3, "postal";
        /// The controller's own id of a person.
        Contact = 4, "contact";
    }
}

closed! {
    /// Which door a suppression record came in by.
    Source {
        /// The API.
        Api = 1, "api";
        /// An RFC 8058 one-click or the unsubscribe page.
        OneClick = 2, "one_click";
        /// A reply to a message.
        Reply = 3, "reply";
        /// An import.
        Import = 4, "import";
        /// A gateway's bounce or complaint.
        Gateway = 5, "gateway";
        /// A rights request.
        RightsRequest = 6, "rights_request";
        /// An operator, by command.
        Operator = 7, "operator";
    }
}

closed! {
    /// What a gateway tells of (contract, section 2, `InboundEvent`).
    InboundKind {
        /// An answer to a message.
        Reply = 1, "reply";
        /// The address does not exist.
        HardBounce = 2, "hard_bounce";
        /// The person complained.
        Complaint = 3, "complaint";
        /// A key was pressed in a voice call.
        Keypress = 4, "keypress";
        /// Post came back.
        ReturnedMail = 5, "returned_mail";
    }
}

closed! {
    /// Why a job is refused (contract, section 8). Names are upper case on the wire: see [`RefusalCode::code`].
    RefusalCode {
        /// The policy has no such tenant.
        UnknownTenant = 1, "unknown_tenant";
        /// The tenant is suspended.
        TenantSuspended = 2, "tenant_suspended";
        /// The tenant's contract has ended.
        ContractEnded = 3, "contract_ended";
        /// The tenant may not use this channel.
        ChannelNotAllowed = 4, "channel_not_allowed";
        /// The tenant may not use this sender.
        SenderNotAllowed = 5, "sender_not_allowed";
        /// The tenant does not allow this gateway.
        GatewayNotAllowed = 6, "gateway_not_allowed";
        /// The gateway's audit is out of date.
        GatewayNotAttested = 7, "gateway_not_attested";
        /// The data would leave the tenant's residency.
        OutsideResidency = 8, "outside_residency";
        /// No gateway for this channel.
        NoGateway = 9, "no_gateway";
        /// More than [`crate::RECIPIENTS_MAX`].
        TooManyRecipients = 10, "too_many_recipients";
        /// A field of the job is wrong.
        BadField = 11, "bad_field";
    }
}

impl RefusalCode {
    /// The code as it stands in `Refusal.code`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::UnknownTenant => "UNKNOWN_TENANT",
            Self::TenantSuspended => "TENANT_SUSPENDED",
            Self::ContractEnded => "CONTRACT_ENDED",
            Self::ChannelNotAllowed => "CHANNEL_NOT_ALLOWED",
            Self::SenderNotAllowed => "SENDER_NOT_ALLOWED",
            Self::GatewayNotAllowed => "GATEWAY_NOT_ALLOWED",
            Self::GatewayNotAttested => "GATEWAY_NOT_ATTESTED",
            Self::OutsideResidency => "OUTSIDE_RESIDENCY",
            Self::NoGateway => "NO_GATEWAY",
            Self::TooManyRecipients => "TOO_MANY_RECIPIENTS",
            Self::BadField => "BAD_FIELD",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_go_both_ways() {
        for &c in Channel::ALL {
            assert_eq!(Channel::from_number(c.number()), Some(c));
            assert_eq!(Channel::from_name(c.as_str()), Some(c));
        }
        for &r in Reason::ALL {
            assert_eq!(Reason::from_number(r.number()), Some(r));
        }
        assert_eq!(Channel::from_number(0), None);
        assert_eq!(RecordReason::Consent.drops(), None);
        assert_eq!(RecordReason::Erased.drops(), Some(Reason::Erased));
    }

    #[test]
    fn service_messages_pass_what_only_stops_marketing() {
        let dropped: Vec<_> = Reason::ALL.iter().filter(|r| r.drops(Purpose::Service)).collect();
        assert_eq!(dropped, [&Reason::Erased, &Reason::Blocked, &Reason::HardBounce]);
        assert!(Reason::ALL.iter().all(|r| r.drops(Purpose::Marketing)));
    }
}
