//! The beginning of a link: an absolute http or https URL that a path can be put after.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Longest that is taken. A header line of mail has 998 octets (RFC 5322, section 2.1.1), of which a token and what is around it
/// take some 160.
const LEN_MOST: usize = 512;

/// What is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) is_https: bool,
    /// Whether its host is this machine itself.
    pub(crate) is_loopback: bool,
}

impl Base {
    /// `None` for what is no such URL, has a query, a fragment or somebody's name and password, or has characters that a URL may
    /// not have (RFC 3986): it goes into mail headers as it stands.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/[]!$&'()*+,;=%@".contains(c);
        if text.len() > LEN_MOST || !text.chars().all(plain) {
            return None;
        }
        let (scheme, rest) = text.split_once("://")?;
        let is_https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = rest.split('/').next()?;
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (authority, None),
        };
        if port.is_some_and(|port| !port.parse::<u16>().is_ok_and(|port| port != 0)) {
            return None;
        }
        let six = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_loopback = if let Some(six) = six {
            six.parse::<Ipv6Addr>().ok()?.is_loopback()
        } else {
            let label = |label: &str| {
                !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            };
            if !host.strip_suffix('.').unwrap_or(host).split('.').all(label) {
                return None;
            }
            host.eq_ignore_ascii_case("localhost")
                || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
        };
        Some(Self { is_https, is_loopback })
    }
}

#[cfg(test)]
mod tests {
    use super::Base;

    #[test]
    fn only_a_url_that_a_path_can_be_put_after_is_taken() {
        for (text, is_https, is_loopback) in [
            ("https://mail.example.org", true, false),
            ("HTTPS://mail.example.org:8443/news/", true, false),
            ("http://127.0.0.1:8080", false, true),
            ("http://localhost", false, true),
            ("http://[::1]:8080/", false, true),
            ("http://10.0.0.1", false, false),
        ] {
            assert_eq!(Base::parse(text), Some(Base { is_https, is_loopback }), "{text}");
        }
        for text in [
            "",
            "mail.example.org",
            "//mail.example.org",
            "ftp://mail.example.org",
            "https://",
            "https:///u",
            "https://mail..example.org",
            "https://mail.example.org?a=b",
            "https://mail.example.org/#u",
            "https://me:secret@mail.example.org",
            "https://mail.example.org:0",
            "https://mail.example.org:https",
            "https://mail.example.org/<x>",
            "https://mail.example.org/ u",
            "https://mail.example.org\r\nX: y",
            "https://bücher.example",
            "http://[::1",
        ] {
            assert_eq!(Base::parse(text), None, "{text}");
        }
        assert_eq!(Base::parse(&format!("https://mail.example.org/{}", "u".repeat(500))), None);
    }
}
