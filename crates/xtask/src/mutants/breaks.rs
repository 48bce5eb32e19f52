//! Breaks of the control's own source: a text to find, which must be there once, and what to put in its place.

/// One break.
pub(super) struct Break {
    /// Its name in the table.
    pub(super) name: &'static str,
    /// The promise that it breaks.
    pub(super) breaks: &'static str,
    pub(super) find: &'static str,
    pub(super) put: &'static str,
}

/// The file they are made in.
pub(super) const FILE: &str = "crates/pipeline/src/control.rs";

/// All of them.
pub(super) const BREAKS: &[Break] = &[
    Break {
        name: "no wait for the filter",
        breaks: "G1",
        find: "            && self.filter.position.reaches(end)\n        {\n            self.front = Front::Deciding",
        put: "        {\n            self.front = Front::Deciding",
    },
    Break {
        name: "an answer to an older question is taken",
        breaks: "G1",
        find: "            && t == ticket\n",
        put: "            && t >= ticket\n",
    },
    Break {
        name: "the answer's age is not looked at",
        breaks: "G2",
        find: "let fresh_until = asked_at + self.limits.freshness_max_ms;",
        put: "let (_, fresh_until) = (asked_at, Millis::MAX);",
    },
    Break {
        name: "writes while the one before is under way",
        breaks: "G4",
        find: "            && self.back == Back::Ready\n        {\n            self.front = Front::Empty;",
        put: "            && self.back != Back::Replacing\n        {\n            self.front = Front::Empty;",
    },
    Break {
        name: "no rewind after an abort",
        breaks: "G4",
        find: "            Input::Wrote(Wrote::Aborted) => {\n                self.back = Back::Ready;\n                self.start_over(now, calls);",
        put: "            Input::Wrote(Wrote::Aborted) => {\n                self.back = Back::Ready;",
    },
    Break {
        name: "no rewind after an unknown end",
        breaks: "G4",
        find: "                self.back = Back::Closed { not_before: now };\n                self.start_over(now, calls);",
        put: "                self.back = Back::Closed { not_before: now };",
    },
    Break {
        name: "the writer is not replaced after an unknown end",
        breaks: "G4",
        find: "                self.back = Back::Closed { not_before: now };\n                self.start_over(now, calls);",
        put: "                self.back = Back::Ready;\n                self.start_over(now, calls);",
    },
    Break {
        name: "what was read later is kept after an abort",
        breaks: "G4",
        find: "        self.discard(calls);\n        self.rewind_at = Some(now);",
        put: "        let _ = calls;\n        self.rewind_at = Some(now);",
    },
    Break {
        name: "partitions are given back during a transaction",
        breaks: "G4",
        find: "if self.revoking && !self.is_writing() {",
        put: "if self.revoking {",
    },
    Break {
        name: "rewinds while a transaction is open",
        breaks: "G4",
        find: "            && !self.revoking\n            && self.back == Back::Ready\n    }",
        put: "            && !self.revoking\n    }",
    },
    Break {
        name: "a rewind that failed is not done again",
        breaks: "G4",
        find: "Input::Rewound(false) => self.rewind_at = Some(now + self.limits.retry_ms),",
        put: "Input::Rewound(false) => self.rewind_at = None,",
    },
    Break {
        name: "records that came in spite of a pause are dropped and not read again",
        breaks: "G4",
        find: "            self.rewind_at.get_or_insert(now);\n",
        put: "",
    },
    Break {
        name: "a hold does not end",
        breaks: "G5",
        find: "            Hold::Catching { end, .. } if self.filter.position.reaches(end) => {\n                self.hold = Hold::No;",
        put: "            Hold::Catching { end, .. } if self.filter.position.reaches(end) => {",
    },
    Break {
        name: "no patience with the filter",
        breaks: "G5",
        find: "            Front::Waiting { since, end, .. } if !self.filter.position.reaches(end) => *since,\n",
        put: "",
    },
    Break {
        name: "no patience with a log full of gaps",
        breaks: "G5",
        find: "let since = if again { since } else { now };",
        put: "let _ = (since, again);\n            let since = now;",
    },
    Break {
        name: "reads before it is known what was decided before",
        breaks: "G7",
        find: "            && self.recall == Recall::Known\n    }",
        put: "    }",
    },
    Break {
        name: "what is done is read back after an assignment only",
        breaks: "G4",
        find: "                // The group's offsets may be older than what was committed.\n                self.recall = Recall::Wanted { not_before: now };\n",
        put: "",
    },
    Break {
        name: "the recall comes before the offsets are settled",
        breaks: "G7",
        find: "            && self.rewind_at.is_none()\n            && self.assigned.is_some()",
        put: "            && self.assigned.is_some()",
    },
    Break {
        name: "a recall that failed counts",
        breaks: "G7",
        find: "self.recall = if known { Recall::Known } else { again };",
        put: "self.recall = Recall::Known;",
    },
    Break {
        name: "a recall that failed ends the taking over",
        breaks: "G7",
        find: "self.taking_over &= !known;",
        put: "self.taking_over = false;",
    },
];
