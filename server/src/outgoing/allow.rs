//! Which addresses are asked: public ones, and of the private ones those that the operator allows.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use ipnet::IpNet;

/// What the operator allows beyond the public network: hosts and networks, each with a port where only that one is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList(Vec<Allowed>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Allowed {
    place: Place,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Network(IpNet),
    /// Lower case, without a dot at the end.
    Host(String),
}

/// Where an address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// To whoever has it on the internet.
    Public,
    /// Somewhere near: asked where the operator says so.
    Private,
    /// To a machine's own metadata, to many at once, or nowhere: never asked, whatever the operator says.
    Never,
}

impl AllowList {
    /// Whether `address` is asked, for the URL's host and port.
    pub fn admits(&self, host: &str, port: u16, address: IpAddr) -> bool {
        let address = canonical(address);
        match reach(address) {
            Reach::Public => true,
            Reach::Never => false,
            Reach::Private => self.0.iter().any(|allowed| {
                let is_there = match &allowed.place {
                    Place::Network(network) => network.contains(&address),
                    Place::Host(name) => *name == plain_host(host),
                };
                is_there && allowed.port.is_none_or(|only| only == port)
            }),
        }
    }
}

impl FromStr for AllowList {
    type Err = String;

    /// Items by commas: `10.0.0.0/8`, `127.0.0.1:9090`, `prometheus.monitoring.svc:9090`.
    fn from_str(text: &str) -> Result<Self, String> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let allowed = |item: &str| {
            Allowed::parse(item).ok_or_else(|| {
                format!("`{item}` is no host and no network, like `prometheus.internal:9090` or `10.0.0.0/8`")
            })
        };
        items.map(allowed).collect::<Result<_, _>>().map(Self)
    }
}

impl Allowed {
    fn parse(item: &str) -> Option<Self> {
        if let Ok(network) = item.parse::<IpNet>() {
            return Some(Self { place: Place::Network(network.trunc()), port: None });
        }
        if let Ok(address) = item.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return Some(Self { place: Place::Network(canonical(address).into()), port: None });
        }
        if let Ok(address) = item.parse::<SocketAddr>() {
            return Some(Self { place: Place::Network(canonical(address.ip()).into()), port: Some(address.port()) });
        }
        let (host, port) = match item.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (item, None),
        };
        let is_host = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        let host = plain_host(host);
        // A last label of digits is an address that somebody mistyped: no host has one.
        let looks_like_address = host.rsplit('.').next()?.bytes().all(|byte| byte.is_ascii_digit());
        if host.is_empty() || looks_like_address || !host.chars().all(is_host) {
            return None;
        }
        Some(Self { place: Place::Host(host), port })
    }
}

impl fmt::Display for AllowList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Allowed { place, port }) in self.0.iter().enumerate() {
            let place = match (place, port) {
                (Place::Network(network), None) => network.to_string(),
                (Place::Network(network), Some(port)) => SocketAddr::new(network.addr(), *port).to_string(),
                (Place::Host(host), None) => host.clone(),
                (Place::Host(host), Some(port)) => format!("{host}:{port}"),
            };
            write!(f, "{}{place}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// As names of hosts are compared.
pub(super) fn plain_host(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// The address that is meant: IPv4 in its IPv6 clothes (RFC 4291 §2.5.5.2, and NAT64's RFC 6052 §2.1) is IPv4.
fn canonical(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return v4.into();
    }
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let [[a, b], [c, d]] = [high.to_be_bytes(), low.to_be_bytes()];
            Ipv4Addr::new(a, b, c, d).into()
        }
        _ => address,
    }
}

fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

/// By IANA's registry of special addresses; and the clouds' metadata services that lie outside of it.
fn reach_v4(address: Ipv4Addr) -> Reach {
    match address.octets() {
        [0 | 224..=239, ..]
        | [169, 254, ..]
        | [255, 255, 255, 255]
        // Oracle's and others'; Alibaba's; Azure's.
        | [192, 0, 0, _]
        | [100, 100, 100, 200]
        | [168, 63, 129, 16] => Reach::Never,
        [10 | 127 | 240..=255, ..]
        | [100, 64..=127, ..]
        | [172, 16..=31, ..]
        | [192, 168, ..]
        | [192, 0, 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => Reach::Private,
        _ => Reach::Public,
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0]
        | [0xfe80..=0xfebf | 0xff00..=0xffff, ..]
        // Amazon's metadata.
        | [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] => Reach::Never,
        // Of the global ones: protocol assignments with Teredo, documentation, 6to4.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => Reach::Private,
        [0x2000..=0x3fff, ..] => Reach::Public,
        _ => Reach::Private,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(allow: &str, asked: &str, address: &str, expected: bool) {
        let list: AllowList = allow.parse().unwrap();
        let (host, port) = asked.rsplit_once(':').unwrap();
        let admitted = list.admits(host, port.parse().unwrap(), address.parse().unwrap());
        assert_eq!(admitted, expected, "{asked} at {address}, allowed: {allow}");
    }

    #[test]
    fn only_public_addresses_are_asked_unless_the_operator_says_so() {
        for public in ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "64:ff9b::1.1.1.1", "::ffff:1.1.1.1"] {
            check("", "host:443", public, true);
        }
        let private = [
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.7",
            "240.0.0.1",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "fc00::1",
            "fd12:3456::1",
            "fec0::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "5f00::1",
        ];
        for address in private {
            check("", "host:443", address, false);
            check("host", "host:443", address, true);
        }
    }

    #[test]
    fn metadata_multicast_and_nowhere_are_never_asked() {
        let never = [
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "169.254.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "224.0.0.1",
            "239.255.255.255",
            "255.255.255.255",
            "192.0.0.192",
            "100.100.100.200",
            "168.63.129.16",
            "::",
            "::ffff:0.0.0.0",
            "fe80::1",
            "febf::1",
            "ff02::1",
            "fd00:ec2::254",
        ];
        for address in never {
            check("0.0.0.0/0,::/0,host", "host:80", address, false);
        }
    }

    #[test]
    fn what_is_allowed_is_a_network_an_address_or_a_host_and_perhaps_a_port() {
        check("10.0.0.0/8", "any:80", "10.1.2.3", true);
        check("10.0.0.0/8", "any:80", "192.168.0.1", false);
        check("10.1.2.3/8", "any:80", "10.9.9.9", true);
        check("127.0.0.1", "127.0.0.1:9090", "127.0.0.1", true);
        check("127.0.0.1:9090", "localhost:9090", "127.0.0.1", true);
        check("127.0.0.1:9090", "localhost:9091", "127.0.0.1", false);
        check("127.0.0.1:9090", "localhost:9090", "::ffff:127.0.0.1", true);
        check("[::1]:9090", "[::1]:9090", "::1", true);
        check("[::1]", "[::1]:1", "::1", true);
        check("Prometheus.Internal.:9090", "prometheus.internal:9090", "10.0.0.1", true);
        check("prometheus.internal:9090", "PROMETHEUS.internal.:9090", "10.0.0.1", true);
        check("prometheus.internal:9090", "prometheus.internal:80", "10.0.0.1", false);
        check("prometheus.internal", "evil.prometheus.internal:80", "10.0.0.1", false);
    }

    #[test]
    fn the_list_is_read_and_written() {
        let text = "10.0.0.0/8,127.0.0.1/32,[::1]:9090,127.0.0.1:9090,a.b:1,c";
        assert_eq!(text.parse::<AllowList>().unwrap().to_string(), text);
        for wrong in ["http://a", "a b", "10.0.0", "a:port", "a:70000", "*.internal", "10.0.0.0/8:80"] {
            let error = wrong.parse::<AllowList>().unwrap_err();
            assert!(error.starts_with(&format!("`{wrong}` is no host and no network")), "{error}");
        }
    }
}
