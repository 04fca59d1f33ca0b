//! Which addresses may be called: those of the public internet, and those that an operator allows.
//!
//! A URL in a setting, in an upstream's answer or in a webhook's subscription may point into the network that Haat runs in:
//! at other services, at a cloud's metadata (169.254.169.254), at Haat itself. Looking at the URL does not help, for its host is
//! a name whose address its owner may change between the look and the call (DNS rebinding). So the address is checked when
//! the connection is opened: the resolver of the HTTP client gives out only addresses that may be called, and the connection
//! goes to these. The client asks no resolver when the host is an address already, in whatever form (`127.1`, `0x7f000001`,
//! `[::ffff:7f00:1]`): `url` brings all of these into one form when it parses them, and [`AddressGuard::check_url`] checks
//! that before anything is sent. Redirects are not followed; whoever follows one himself checks its URL as any other.
//!
//! `http` is for networks that are allowed, unless a setting allows it everywhere: what it carries can be read and
//! changed on the way.
//!
//! ```text
//! ranges.rs    the addresses that are not of the public internet
//! ```

mod ranges;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use ipnet::IpNet;
use url::{Host, Url};

use crate::call::CallError;
use ranges::{embedded, is_public};

/// Turns names into addresses.
#[async_trait]
pub trait Lookup: Send + Sync + 'static {
    /// The addresses of a name.
    ///
    /// # Errors
    /// When it has none, or that cannot be found out.
    async fn lookup(&self, name: &str) -> std::io::Result<Vec<IpAddr>>;
}

/// The machine's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemLookup;

#[async_trait]
impl Lookup for SystemLookup {
    async fn lookup(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// Why nothing may be sent there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// The address is neither public nor allowed.
    #[error("{0} is not an address that may be called; see `allow_networks`")]
    Address(IpAddr),
    /// The URL is not one that may be called.
    #[error("the URL cannot be called: {0}")]
    Url(&'static str),
}

impl From<Forbidden> for CallError {
    fn from(forbidden: Forbidden) -> Self {
        match forbidden {
            Forbidden::Address(ip) => Self::ForbiddenAddress(ip),
            Forbidden::Url(why) => Self::ForbiddenUrl(why),
        }
    }
}

const PLAIN: Forbidden =
    Forbidden::Url("plain http is for networks in `allow_networks`; use https, or set `allow_http`");

/// Lets through what may be called.
#[derive(Debug, Clone, Default)]
pub struct AddressGuard {
    allow_networks: Arc<[IpNet]>,
    allow_http: bool,
}

impl AddressGuard {
    /// Lets through public addresses and those in `allow_networks`; `http` to the latter, or with `allow_http` to all.
    pub fn new(allow_networks: impl Into<Arc<[IpNet]>>, allow_http: bool) -> Self {
        Self { allow_networks: allow_networks.into(), allow_http }
    }

    /// Checks what can be checked of a URL before its host is resolved: scheme, user information, and the host if it is an
    /// address. The rest is up to [`Self::resolver`].
    ///
    /// # Errors
    /// When it may not be called, whatever its name resolves to.
    pub fn check_url(&self, url: &Url) -> Result<(), Forbidden> {
        let secure = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(Forbidden::Url("only https and http can be called")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Forbidden::Url("it holds a user name or a password"));
        }
        match url.host() {
            Some(Host::Ipv4(ip)) => self.check(ip.into(), secure),
            Some(Host::Ipv6(ip)) => self.check(ip.into(), secure),
            Some(Host::Domain(name)) if !name.is_empty() => Ok(()),
            _ => Err(Forbidden::Url("it has no host")),
        }
    }

    /// Checks an address, for TLS (`secure`) or without.
    ///
    /// # Errors
    /// When it may not be called.
    pub fn check(&self, ip: IpAddr, secure: bool) -> Result<(), Forbidden> {
        let known_as = [Some(ip), embedded(ip)];
        let allowed = known_as.into_iter().flatten().any(|ip| self.allow_networks.iter().any(|net| net.contains(&ip)));
        if allowed || (is_public(ip) && (secure || self.allow_http)) {
            Ok(())
        } else if is_public(ip) {
            Err(PLAIN)
        } else {
            Err(Forbidden::Address(ip))
        }
    }

    /// A resolver for `reqwest` that gives out only what may be called, for TLS (`secure`) or without.
    pub fn resolver(&self, lookup: Arc<dyn Lookup>, secure: bool) -> GuardedResolver {
        GuardedResolver { guard: self.clone(), lookup, secure }
    }

    /// Those of the addresses that may be called.
    fn filter(&self, found: Vec<IpAddr>, secure: bool) -> Result<Vec<IpAddr>, Forbidden> {
        let mut refused = None;
        let mut allowed = found;
        allowed.retain(|ip| self.check(*ip, secure).map_err(|why| refused.get_or_insert(why).clone()).is_ok());
        match refused {
            Some(why) if allowed.is_empty() => Err(why),
            _ => Ok(allowed),
        }
    }

    /// Whether plain `http` may go anywhere public.
    pub(crate) fn allows_http(&self) -> bool {
        self.allow_http
    }
}

/// Resolves names to addresses that may be called. An error is a [`Forbidden`] if there are only others.
pub struct GuardedResolver {
    guard: AddressGuard,
    lookup: Arc<dyn Lookup>,
    secure: bool,
}

impl reqwest::dns::Resolve for GuardedResolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let (guard, lookup, secure) = (self.guard.clone(), Arc::clone(&self.lookup), self.secure);
        Box::pin(async move {
            let found = lookup.lookup(name.as_str()).await?;
            let allowed = guard.filter(found, secure)?;
            // Port 0 stands for the URL's.
            let addresses = allowed.into_iter().map(|ip| SocketAddr::new(ip, 0));
            Ok(Box::new(addresses) as reqwest::dns::Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(networks: &[&str]) -> AddressGuard {
        AddressGuard::new(networks.iter().map(|net| net.parse().unwrap()).collect::<Vec<_>>(), false)
    }

    fn check(guard: &AddressGuard, url: &str) -> Result<(), Forbidden> {
        guard.check_url(&url.parse().unwrap_or_else(|e| panic!("{url}: {e}")))
    }

    /// Addresses that are not of the public internet, as they may be written.
    const INNER: &[&str] = &[
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "0x7f.0x0.0x0.0x1",
        "127.0.0.1.",
        "127.000.000.001",
        "１２７.0.0.1",
        "127。0。0。1",
        "%31%32%37.0.0.1",
        "0",
        "0.0.0.0",
        "10.1.2.3",
        "0xa.1",
        "167838211",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "100.64.0.1",
        "100.127.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "192.88.99.1",
        "168.63.129.16",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[0:0:0:0:0:0:0:1]",
        "[fc00::1]",
        "[fdff::1]",
        "[fe80::1]",
        "[fec0::1]",
        "[ff02::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::ffff:a9fe:a9fe]",
        "[::ffff:10.0.0.1]",
        "[::127.0.0.1]",
        "[::a9fe:a9fe]",
        "[64:ff9b::127.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::1]",
        "[64:ff9b:1::808:808]",
        "[2002:7f00:1::]",
        "[2002:a9fe:a9fe::1]",
        "[2002:808:808::1]",
        "[2001::1]",
        "[2001:0:808:808::1]",
        "[2001:2::1]",
        "[2001:10::1]",
        "[2001:db8::1]",
        "[3fff::1]",
        "[100::1]",
        "[5f00::1]",
        "[4000::1]",
    ];

    #[test]
    fn every_way_to_write_an_inner_address_is_refused() {
        for form in INNER {
            for scheme in ["https", "http"] {
                let url = format!("{scheme}://{form}:8443/a?b");
                assert!(matches!(check(&guard(&[]), &url), Err(Forbidden::Address(_))), "{url} may be called");
            }
        }
    }

    #[test]
    fn public_addresses_may_be_called() {
        for host in [
            "8.8.8.8",
            "1.1.1.1",
            "172.32.0.1",
            "100.128.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "[2606:4700::1111]",
            "[2a00:1450:4001::200e]",
            "[2001:4860:4860::8888]",
            "[::ffff:8.8.8.8]",
            "[64:ff9b::8.8.8.8]",
            "shop.example",
        ] {
            assert_eq!(check(&guard(&[]), &format!("https://{host}/")), Ok(()), "{host}");
        }
    }

    #[test]
    fn allowed_networks_may_be_called_in_every_form_and_nothing_beside_them() {
        let guard = guard(&["127.0.0.0/8", "10.1.0.0/16", "fd00:1::/32"]);
        for host in ["127.0.0.1", "0x7f.1", "[::ffff:127.0.0.1]", "10.1.255.255", "[fd00:1::5]", "[64:ff9b::10.1.0.1]"]
        {
            assert_eq!(check(&guard, &format!("https://{host}/")), Ok(()), "{host}");
            assert_eq!(check(&guard, &format!("http://{host}/")), Ok(()), "{host}");
        }
        for host in ["10.2.0.1", "[::1]", "[fd00:2::5]", "169.254.169.254"] {
            assert!(check(&guard, &format!("https://{host}/")).is_err(), "{host}");
        }
    }

    #[test]
    fn urls_that_are_none_to_call_are_refused() {
        for url in [
            "ftp://8.8.8.8/",
            "file:///etc/passwd",
            "gopher://8.8.8.8/",
            "data:text/plain,x",
            "unix:/run/x",
            "https://user@shop.example/",
            "https://:secret@shop.example/",
            "https://8.8.8.8@shop.example/",
        ] {
            assert!(matches!(check(&guard(&[]), url), Err(Forbidden::Url(_))), "{url}");
        }
    }

    #[test]
    fn plain_http_is_for_allowed_networks_or_by_a_setting() {
        assert_eq!(check(&guard(&[]), "http://8.8.8.8/"), Err(PLAIN));
        assert_eq!(check(&guard(&["8.8.8.0/24"]), "http://8.8.8.8/"), Ok(()));
        let open = AddressGuard::new([], true);
        assert_eq!(check(&open, "http://8.8.8.8/"), Ok(()));
        assert!(matches!(check(&open, "http://127.0.0.1/"), Err(Forbidden::Address(_))));
    }

    #[test]
    fn of_what_a_name_resolves_to_only_what_may_be_called_is_left() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let found = || vec![ip("127.0.0.1"), ip("8.8.8.8"), ip("::1")];
        assert_eq!(guard(&[]).filter(found(), true), Ok(vec![ip("8.8.8.8")]));
        assert_eq!(guard(&[]).filter(found(), false), Err(Forbidden::Address(ip("127.0.0.1"))));
        assert_eq!(guard(&["127.0.0.0/8"]).filter(found(), false), Ok(vec![ip("127.0.0.1")]));
        assert_eq!(guard(&[]).filter(vec![ip("8.8.8.8")], false), Err(PLAIN));
        assert_eq!(guard(&[]).filter(Vec::new(), true), Ok(Vec::new()));
    }
}
