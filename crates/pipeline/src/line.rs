//! The middle of the line: view → sieve → splice, for a whole batch, under one view of the filter. No I/O.

use std::collections::BTreeMap;

use tamis_bus::{JobRecord, OutRecord, OutTopic, Outgoing, Partition};
use tamis_campaign::{Channel, UnixMs, Verdict};
use tamis_sieve::{Decision, Sieve};
use tamis_subject::Subjects;
use tamis_suppression::Index;
use tamis_telemetry::{Metrics, Stage};
