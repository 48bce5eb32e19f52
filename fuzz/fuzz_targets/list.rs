//! Any bytes as a list: cleaned or refused, the same in whatever pieces they come. What comes out, cleaned again, is the same, and no
//! error has anybody in it.
#![no_main]

use std::convert::Infallible;
use std::io::Read;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tamis_campaign::{Channel, Reason, Tenant};
use tamis_scrub::{Ask, Filter, Format, Report, scrub};
use tamis_subject::{Key, Region, Subject, Subjects};

const STOPPED: &str = "+33639981234";

struct Alone(Subject);

impl Filter for Alone {
    type Error = Infallible;

    fn reasons(&mut self, subjects: &[Subject], reasons: &mut Vec<Option<Reason>>) -> Result<(), Infallible> {
        reasons.extend(subjects.iter().map(|subject| (*subject == self.0).then_some(Reason::StopReply)));
        Ok(())
    }
}

struct Pieces<'b>(&'b [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.1.min(self.0.len()).min(into.len());
        into[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

fn subjects() -> &'static Subjects {
    static SUBJECTS: OnceLock<Subjects> = OnceLock::new();
    SUBJECTS.get_or_init(|| {
        Subjects::new(&Key::generate().expect("a key"), Region::parse("FR").expect("a region"))
    })
}

fn clean(ask: &Ask<'_>, list: &[u8], piece: usize) -> Option<(Vec<u8>, Report)> {
    let mut out = Vec::new();
    let mut filter = Alone(subjects().phone(STOPPED).expect("a number"));
    match scrub(ask, subjects(), &mut filter, Pieces(list, piece), &mut out) {
        Ok(report) => Some((out, report)),
        Err(error) => {
            let told = format!("{error} {error:?}");
            assert!(!told.contains("3998") && !told.contains("amille"), "nobody is repeated");
            None
        }
    }
}

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (how, piece, list) = input;
    let format = [None, Some(Format::Csv), Some(Format::Ndjson)][usize::from(how % 3)];
    let ask = Ask {
        tenant: Tenant::parse("acme").expect("a tenant"),
        channel: if how & 8 == 0 { Channel::Sms } else { Channel::Mail },
        format,
        header: how & 16 == 0,
        named: &[],
        keep_duplicates: how & 32 == 0,
        escape: how & 64 != 0,
    };
    let whole = clean(&ask, list, usize::MAX);
    assert!(clean(&ask, list, usize::from(piece).max(1)) == whole, "the same in any pieces");
    let Some((out, report)) = whole else { return };
    assert!(report.books_close());
    // What is kept is kept again: nothing of it is somebody else's, or read otherwise without its neighbours. (Without a first row of
    // names the separator may be another one then.)
    if report.kept > 0 && ask.header && !ask.escape {
        let (same, second) = clean(&ask, &out, usize::MAX).expect("it is a list still");
        assert!(same == out && second.kept == report.kept, "clean is clean");
    }
});
