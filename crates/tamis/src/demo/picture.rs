//! What the demonstration looks like: a calm picture on a terminal, a line a second elsewhere, and the end.

use std::fmt::Write as _;
use std::time::Duration;

use tamis_campaign::{Channel, Reason, RejectReason};

use super::books::{Fault, Totals};

/// Columns of the picture: it fits a terminal of 100.
const WIDTH: usize = 96;
const BAR: usize = 24;

/// Everything the picture shows, at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Moment {
    /// "embedded bus" or "Kafka at …".
    pub(crate) on: String,
    /// The seed.
    pub(crate) seed: u64,
    /// Since the first job.
    pub(crate) elapsed: Duration,
    /// How long it is to go on.
    pub(crate) planned: Duration,
    /// The sums.
    pub(crate) totals: Totals,
    /// Recipients that reached their gateway, a second, by channel.
    pub(crate) rates: [f64; 5],
    /// Opt-outs asked for and acked.
    pub(crate) opt_outs: (u64, u64),
    /// Subjects in the filter.
    pub(crate) subjects: u64,
    /// From the wish to the filter: median and 99th percentile, ms.
    pub(crate) effect_ms: Option<(f64, f64)>,
    /// From the scheduler to the gateway: median and 99th percentile, ms.
    pub(crate) delivery_ms: Option<(f64, f64)>,
    /// Whether the line holds (G5), or is not ready for another reason.
    pub(crate) holding: bool,
}

/// How to write styles, or not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    /// Whether escape codes are wanted.
    pub(crate) colour: bool,
}

impl Style {
    fn paint(self, code: &str, text: impl AsRef<str>) -> String {
        let text = text.as_ref();
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
    fn bold(self, text: impl AsRef<str>) -> String {
        self.paint("1", text)
    }
    fn dim(self, text: impl AsRef<str>) -> String {
        self.paint("2", text)
    }
    fn good(self, text: impl AsRef<str>) -> String {
        self.paint("32", text)
    }
    fn wrong(self, text: impl AsRef<str>) -> String {
        self.paint("1;31", text)
    }
    fn accent(self, text: impl AsRef<str>) -> String {
        self.paint("36", text)
    }
}

/// The live picture, lines without their ends.
pub(crate) fn picture(now: &Moment, style: Style) -> Vec<String> {
    let mut lines = vec![String::new(), title(now, style), rule(style)];
    channels(now, style, &mut lines);
    lines.push(String::new());
    dropped(now, style, &mut lines);
    lines.push(String::new());
    let t = &now.totals;
    let (asked, acked) = now.opt_outs;
    let subjects = format!("{} people in the filter", thousands(now.subjects));
    lines.push(row(
        style,
        "opt-outs",
        &format!("{} asked for · {} acked · {subjects}", thousands(asked), thousands(acked)),
    ));
    lines.push(row(style, "", &format!("from the wish to the filter   {}", percentiles(now.effect_ms))));
    lines.push(row(
        style,
        "gateways",
        &format!("from scheduler to gateway     {}", percentiles(now.delivery_ms)),
    ));
    lines.push(row(style, "", &checked(t, style)));
    lines.push(String::new());
    lines.push(row(style, "books", &books(t)));
    let in_flight = t.scheduled.saturating_sub(t.recipients_in());
    let more = format!(
        "{} jobs judged · {} expired · {} unreadable · {} recipients in flight",
        thousands(t.jobs),
        thousands(t.jobs_expired),
        thousands(t.dead_letters),
        thousands(in_flight)
    );
    lines.push(row(style, "", &style.dim(more)));
    lines
}

fn title(now: &Moment, style: Style) -> String {
    let left = format!(" tamis demo   {} · seed {}", now.on, now.seed);
    let state = if now.holding { "◌ holding" } else { "● routing" };
    let right = format!("{:>5.1} s of {:.0} s   ", now.elapsed.as_secs_f64(), now.planned.as_secs_f64());
    let gap = WIDTH.saturating_sub(left.chars().count() + right.chars().count() + state.chars().count());
    let state = if now.holding { style.paint("33", state) } else { style.good(state) };
    let rest = left.strip_prefix(" tamis demo").unwrap_or_default();
    format!(" {}{}{}{}{state}", style.bold("tamis demo"), style.dim(rest), " ".repeat(gap), style.dim(right))
}

fn rule(style: Style) -> String {
    style.dim(format!(" {}", "─".repeat(WIDTH - 1)))
}

fn channels(now: &Moment, style: Style, lines: &mut Vec<String>) {
    let most = now.rates.iter().copied().fold(1.0, f64::max);
    lines.push(style.dim(format!(
        " {:<10}{:<26}{:>12}{:>14}{:>12}{:>11}{:>10}",
        "channel", "recipients a second", "", "forwarded", "dropped", "rejected", "deferred"
    )));
    for (at, channel) in Channel::ALL.iter().enumerate() {
        let (rate, sums) = (now.rates[at], now.totals.by_channel[at]);
        lines.push(format!(
            " {:<10}{}{:>14}{}{:>12}{:>11}{:>10}",
            channel.as_str(),
            style.accent(bar(rate / most, BAR)),
            thousands(rate.round() as u64),
            style.bold(format!("{:>14}", thousands(sums.forwarded))),
            thousands(sums.suppressed),
            thousands(sums.rejected),
            thousands(sums.deferred),
        ));
    }
}

/// Two columns: why people were dropped, and why addresses were not used.
fn dropped(now: &Moment, style: Style, lines: &mut Vec<String>) {
    let t = &now.totals;
    let reasons: Vec<_> = Reason::ALL
        .iter()
        .filter(|reason| **reason != Reason::NoConsent)
        .map(|reason| (words(reason.as_str()), t.by_reason[*reason as usize - 1]))
        .collect();
    let rejects: Vec<_> = RejectReason::ALL
        .iter()
        .filter(|reason| **reason != RejectReason::MalformedRecipient)
        .map(|reason| (words(reason.as_str()), t.by_reject[*reason as usize - 1]))
        .collect();
    let most = reasons.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1) as f64;
    lines.push(style.dim(format!(" {:<52}{}", "dropped because", "rejected because")));
    for (at, (name, count)) in reasons.iter().enumerate() {
        let left =
            format!(" {name:<20}{}{:>12}", style.accent(bar(*count as f64 / most, 16)), thousands(*count));
        let right = rejects
            .get(at)
            .map_or_else(String::new, |(name, count)| format!("    {name:<24}{:>12}", thousands(*count)));
        lines.push(format!("{left}{right}"));
    }
}

fn row(style: Style, name: &str, text: &str) -> String {
    format!(" {}{text}", style.dim(format!("{name:<10}")))
}

fn checked(totals: &Totals, style: Style) -> String {
    let checked = format!("{} deliveries checked · ", thousands(totals.sum(|c| c.forwarded)));
    let violations = totals.violations();
    let verdict = match violations {
        0 => style.good("0 violations"),
        1 => style.wrong("1 violation"),
        more => style.wrong(format!("{} violations", thousands(more))),
    };
    checked + &verdict
}

fn books(t: &Totals) -> String {
    // By the outcomes alone: what the gateways counted is in the table above.
    let rest = t.sum(|c| c.suppressed) + t.sum(|c| c.rejected) + t.sum(|c| c.deferred);
    let forwarded = t.recipients_in().saturating_sub(rest);
    format!(
        "in {} = forwarded {} + suppressed {} + rejected {} + deferred {}",
        thousands(t.recipients_in()),
        thousands(forwarded),
        thousands(t.sum(|c| c.suppressed)),
        thousands(t.sum(|c| c.rejected)),
        thousands(t.sum(|c| c.deferred)),
    )
}

/// The plain line of a second.
pub(crate) fn line(now: &Moment) -> String {
    let t = &now.totals;
    format!(
        "{:>4.0} s  {}  {:>7}/s  forwarded {}  suppressed {}  rejected {}  deferred {}  opt-outs {}  violations {}",
        now.elapsed.as_secs_f64(),
        if now.holding { "holding" } else { "routing" },
        thousands(now.rates.iter().sum::<f64>().round() as u64),
        thousands(t.sum(|c| c.forwarded)),
        thousands(t.sum(|c| c.suppressed)),
        thousands(t.sum(|c| c.rejected)),
        thousands(t.sum(|c| c.deferred)),
        thousands(now.opt_outs.1),
        thousands(t.violations()),
    )
}

/// The verdict, and what to do next: `ok` is whether all went well. `again` is how to run the same on Kafka.
pub(crate) fn verdict(now: &Moment, style: Style, ok: bool, again: &[String]) -> Vec<String> {
    let t = &now.totals;
    let mut lines = vec![String::new(), rule(style)];
    if ok {
        lines.push(format!(" {}  every promise was kept", style.good("✓ PASSED")));
    } else {
        lines.push(format!(" {}  {} violations", style.wrong("✗ FAILED"), thousands(t.violations())));
    }
    for &fault in Fault::ALL {
        let count = t.faults(fault);
        if count > 0 {
            lines.push(style.wrong(format!("   {:>10}  {}", thousands(count), fault.text())));
        }
    }
    lines.push(String::new());
    let say = |lines: &mut Vec<String>, count: u64, text: &str| {
        lines.push(format!("   {:>12}  {}", thousands(count), style.dim(text)));
    };
    say(&mut lines, t.recipients_in(), "recipients came in, in jobs of five channels");
    say(&mut lines, t.sum(|c| c.forwarded), "reached their gateway, each exactly once, unaltered");
    say(&mut lines, t.sum(|c| c.suppressed), "were dropped, each for an opt-out that holds");
    say(&mut lines, t.sum(|c| c.rejected), "were rejected: not an address, none, or twice in a job");
    say(&mut lines, t.sum(|c| c.deferred), "were deferred: their job is not due yet");
    say(&mut lines, t.duplicates, "jobs were retried under their id, and not sent again");
    say(&mut lines, now.opt_outs.1, "opt-outs were acked while it ran");
    if let Some((p50, p99)) = now.effect_ms {
        lines.push(style.dim(format!(
            "   {:>12}  ms from the wish to the filter (p99 {p99:.1} ms)",
            format!("{p50:.1}")
        )));
    }
    if let Some((p50, p99)) = now.delivery_ms {
        lines.push(
            style.dim(format!(
                "   {:>12}  ms from scheduler to gateway (p99 {p99:.1} ms)",
                format!("{p50:.1}")
            )),
        );
    }
    if !again.is_empty() {
        lines.push(String::new());
        lines.push(format!(" {}", style.bold("The same on Kafka")));
        lines.extend(again.iter().map(|line| format!("   {line}")));
    }
    lines.push(String::new());
    lines
}

fn percentiles(ms: Option<(f64, f64)>) -> String {
    ms.map_or_else(|| "–".to_owned(), |(p50, p99)| format!("p50 {p50:>7.1} ms   p99 {p99:>7.1} ms"))
}

fn words(name: &str) -> String {
    name.replace('_', " ")
}

/// A bar of `width` columns, filled to `part` of one, by eighths.
fn bar(part: f64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = ((part.clamp(0.0, 1.0) * width as f64 * 8.0).round() as usize).min(width * 8);
    let mut bar = "█".repeat(eighths / 8);
    bar.push_str(EIGHTHS[eighths % 8]);
    let used = eighths.div_ceil(8);
    bar.push_str(&" ".repeat(width - used));
    bar
}

/// A number with thin groups of three, as `12 345`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        let _ = text.write_char(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]

    fn the_picture_fits_a_terminal_of_100_columns_and_30_lines() {
        let mut big = Totals::default();
        big.jobs = 9_999_999;
        big.jobs_scheduled = 9_999_999;
        let now = Moment {
            on: "Kafka at broker-1.example:9092".to_owned(),
            seed: u64::from(u32::MAX),
            totals: big,
            rates: [1e6; 5],
            effect_ms: Some((9999.9, 99999.9)),
            ..Moment::default()
        };
        let lines = picture(&now, Style { colour: false });
        assert!(lines.len() <= 30, "{} lines", lines.len());
        for line in lines {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }

    #[test]
    fn numbers_are_grouped_and_bars_keep_their_width() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(1_234_567), "1 234 567");
        for part in [0.0, 0.01, 0.5, 0.999, 1.0, 7.0] {
            assert_eq!(bar(part, 10).chars().count(), 10);
        }
    }
}
