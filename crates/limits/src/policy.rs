//! What is limited.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::gcra::Quota;

/// Whose requests count together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Per {
    /// Those of one client; requests without one count by their address.
    Client,
    /// Those of one network: the first so many bits of the address.
    Address {
        /// Of an IPv4 address.
        ipv4_prefix: u8,
        /// Of an IPv6 address. A home or a server gets a /64 or more, so single addresses mean nothing.
        ipv6_prefix: u8,
    },
    /// Everyone's.
    All,
}

/// Routes that are limited together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// Single products, and listings without words to search for.
    Read,
    /// Listings with words to search for, and suggestions.
    Search,
    /// Creating, changing and deleting products.
    Write,
    /// Handing in an import and asking after it.
    Import,
    /// The change feed.
    Changes,
    /// Getting tokens, and asking about them.
    Token,
    /// Looking after clients.
    Manage,
}

impl Group {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Read, Self::Search, Self::Write, Self::Import, Self::Changes, Self::Token, Self::Manage];

    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Search => "search",
            Self::Write => "write",
            Self::Import => "import",
            Self::Changes => "changes",
            Self::Token => "token",
            Self::Manage => "manage",
        }
    }

    /// The group of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.name() == name)
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// So many units in so long, for whom, for which routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Its name in headers: 1 to 32 of `a-z`, `0-9`, `-`, `_`.
    pub name: String,
    /// How much.
    pub quota: Quota,
    /// Whose requests count together.
    pub per: Per,
    /// For which routes; empty for all that are limited, but for [`Group::Token`].
    pub groups: Vec<Group>,
    /// What a request costs where it is not 1.
    pub costs: BTreeMap<Group, u64>,
    /// Whether it is only counted and noted what it would refuse.
    pub dry_run: bool,
    /// Whether it is only for clients that it is given to. Such a client has no other policies per client.
    pub assigned: bool,
}

/// Why a policy makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PolicyError(String);

/// The longest window: a quota is not a contract over years, and the arithmetic has bounds.
const MAX_WINDOW: Duration = Duration::from_secs(31 * 24 * 3600);
/// The most units of a quota.
const MAX_UNITS: u64 = 1_000_000_000;

impl Policy {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// With what is wrong and what to write instead.
    pub fn check(&self) -> Result<(), PolicyError> {
        let refuse = |what: String| Err(PolicyError(what));
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if self.name.is_empty() || self.name.len() > 32 || !self.name.chars().all(allowed) {
            return refuse(format!("the name '{}' must be 1 to 32 of a-z, 0-9, - and _", self.name));
        }
        let name = &self.name;
        if self.quota.units == 0 || self.quota.units > MAX_UNITS {
            return refuse(format!("{name}: quota must be from 1 to {MAX_UNITS}"));
        }
        let window = Duration::from_micros(self.quota.window_us);
        if window < Duration::from_secs(1) || window > MAX_WINDOW {
            return refuse(format!("{name}: window must be from 1s to 31 days"));
        }
        if self.quota.window_us / self.quota.units == 0 {
            return refuse(format!("{name}: more than a million units per second is no limit"));
        }
        if self.assigned && self.per != Per::Client {
            return refuse(format!("{name}: a policy that is given to clients counts per client"));
        }
        if let Per::Address { ipv4_prefix, ipv6_prefix } = self.per
            && (ipv4_prefix > 32 || ipv6_prefix > 128)
        {
            return refuse(format!("{name}: a prefix has at most 32 bits for IPv4 and 128 for IPv6"));
        }
        match self.costs.iter().find(|(_, cost)| **cost > self.quota.units) {
            Some((group, cost)) => {
                refuse(format!("{name}: a request of '{group}' costs {cost}, more than there ever is"))
            }
            None => Ok(()),
        }
    }

    /// Whether it is for the requests of a caller that was given this policy, one that there is.
    pub fn is_for(&self, given: Option<&str>) -> bool {
        match (given, self.assigned) {
            (Some(given), true) => given == self.name,
            (None, true) => false,
            (Some(_), false) => self.per != Per::Client,
            (None, false) => true,
        }
    }

    /// Whether it is for these routes. A policy that names none leaves the OAuth endpoints out: they have a limit of their own,
    /// and who asks for a token has not used any of what the token is for.
    pub fn covers(&self, group: Group) -> bool {
        self.groups.contains(&group) || self.groups.is_empty() && group != Group::Token
    }

    /// What a request of these routes costs.
    pub fn cost(&self, group: Group) -> u64 {
        self.costs.get(&group).copied().unwrap_or(1)
    }

    /// Its window in whole seconds, rounded up, as headers have it.
    pub fn window_secs(&self) -> u64 {
        self.quota.window_us.div_ceil(1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy {
            name: "burst".into(),
            quota: Quota { units: 100, window_us: 60_000_000 },
            per: Per::Client,
            groups: vec![],
            costs: BTreeMap::new(),
            dry_run: false,
            assigned: false,
        }
    }

    #[test]
    fn a_policy_that_is_given_takes_the_place_of_the_others_per_client() {
        let gold = Policy { name: "gold".into(), assigned: true, ..policy() };
        let address = Policy { per: Per::Address { ipv4_prefix: 32, ipv6_prefix: 64 }, ..policy() };
        let which = |given| [&policy(), &gold, &address].map(|policy| policy.is_for(given));
        assert_eq!(which(None), [true, false, true]);
        assert_eq!(which(Some("gold")), [false, true, true]);
        assert_eq!(which(Some("silver")), [false, false, true]);
    }

    #[test]
    fn nonsense_is_named() {
        policy().check().unwrap();
        let says = |change: fn(&mut Policy), word: &str| {
            let mut policy = policy();
            change(&mut policy);
            let error = policy.check().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        };
        says(|p| p.name = "Burst!".into(), "name");
        says(|p| p.quota.units = 0, "quota");
        says(|p| p.quota.window_us = 1_000, "window");
        says(|p| p.quota = Quota { units: 3_000_000, window_us: 1_000_000 }, "million");
        says(|p| p.per = Per::Address { ipv4_prefix: 33, ipv6_prefix: 64 }, "prefix");
        says(|p| p.costs = BTreeMap::from([(Group::Write, 101)]), "costs 101");
    }

    #[test]
    fn groups_and_costs() {
        let mut policy = policy();
        assert!(policy.covers(Group::Changes) && policy.cost(Group::Write) == 1);
        policy.groups = vec![Group::Write];
        policy.costs.insert(Group::Write, 5);
        assert!(!policy.covers(Group::Read) && policy.covers(Group::Write) && policy.cost(Group::Write) == 5);
        assert!(Group::ALL.into_iter().all(|group| Group::of_name(group.name()) == Some(group)));
    }
}
