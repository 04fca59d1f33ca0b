//! The section of limits: policies as they are written down, and what they mean.

use std::collections::BTreeMap;

use garde::Validate;
use haat_limits::overload::Concurrency;
use haat_limits::{Group, Per, Policy, Quota};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::sections::between;
use super::units::Period;

/// How much callers may ask for, and how much is done at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    #[garde(custom(all_make_sense))]
    pub policies: Vec<PolicyEntry>,
    #[garde(skip)]
    pub trusted_proxies: Vec<IpNet>,
    #[garde(skip)]
    pub allow: Vec<IpNet>,
    #[garde(custom(between(1, 10_000)))]
    pub replicas: u64,
    /// 0: by latency.
    #[garde(custom(between(0, 100_000)))]
    pub concurrency: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { policies: Vec::new(), trusted_proxies: Vec::new(), allow: Vec::new(), replicas: 1, concurrency: 0 }
    }
}

/// A policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyEntry {
    /// Its name in headers.
    pub name: String,
    /// How many units.
    pub quota: u64,
    /// In how long.
    pub window: Period,
    /// Whose requests count together.
    #[serde(default)]
    pub per: PerEntry,
    /// With `per = "address"`: how many bits of an IPv4 address.
    #[serde(default = "whole_ipv4")]
    pub ipv4_prefix: u8,
    /// With `per = "address"`: how many bits of an IPv6 address.
    #[serde(default = "home_ipv6")]
    pub ipv6_prefix: u8,
    /// For which routes; all of them when there are none.
    #[serde(default)]
    pub routes: Vec<GroupEntry>,
    /// What a request costs where it is not 1.
    #[serde(default)]
    pub cost: BTreeMap<GroupEntry, u64>,
    /// Whether it is only tried.
    #[serde(default)]
    pub dry_run: bool,
    /// Whether it is only for clients that it is given to, instead of the others with `per = "client"`.
    #[serde(default)]
    pub assigned: bool,
}

fn whole_ipv4() -> u8 {
    32
}

fn home_ipv6() -> u8 {
    64
}

/// Whose requests count together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PerEntry {
    /// One client's.
    #[default]
    Client,
    /// One network's.
    Address,
    /// Everyone's.
    All,
}

/// Routes that are limited together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupEntry {
    Read,
    Search,
    Write,
    Import,
    Changes,
    Token,
    Manage,
}

impl From<GroupEntry> for Group {
    fn from(entry: GroupEntry) -> Self {
        match entry {
            GroupEntry::Read => Self::Read,
            GroupEntry::Search => Self::Search,
            GroupEntry::Write => Self::Write,
            GroupEntry::Import => Self::Import,
            GroupEntry::Changes => Self::Changes,
            GroupEntry::Token => Self::Token,
            GroupEntry::Manage => Self::Manage,
        }
    }
}

impl PolicyEntry {
    fn meaning(&self) -> Policy {
        let per = match self.per {
            PerEntry::Client => Per::Client,
            PerEntry::Address => Per::Address { ipv4_prefix: self.ipv4_prefix, ipv6_prefix: self.ipv6_prefix },
            PerEntry::All => Per::All,
        };
        let window_us = u64::try_from(self.window.duration().as_micros()).unwrap_or(u64::MAX);
        Policy {
            name: self.name.clone(),
            quota: Quota { units: self.quota, window_us },
            per,
            groups: self.routes.iter().map(|entry| Group::from(*entry)).collect(),
            costs: self.cost.iter().map(|(entry, cost)| (Group::from(*entry), *cost)).collect(),
            dry_run: self.dry_run,
            assigned: self.assigned,
        }
    }
}

impl Limits {
    /// The policies, which are known to make sense.
    pub fn meaning(&self) -> Vec<Policy> {
        self.policies.iter().map(PolicyEntry::meaning).collect()
    }

    /// How much is computed at once on a machine of so many searches at a time.
    pub fn concurrency(&self, searches: usize, waiting: usize) -> Concurrency {
        match self.concurrency {
            0 => Concurrency::Adaptive { least: searches.max(1), most: (searches + waiting).max(searches * 2) },
            fixed => Concurrency::Fixed(fixed),
        }
    }
}

fn all_make_sense(policies: &[PolicyEntry], _: &()) -> garde::Result {
    for (i, entry) in policies.iter().enumerate() {
        entry.meaning().check().map_err(|e| garde::Error::new(format!("policy {}: {e}", i + 1)))?;
        if policies.iter().take(i).any(|other| other.name == entry.name) {
            return Err(garde::Error::new(format!("there are two policies of the name '{}'", entry.name)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Limits, String> {
        let limits: Limits = toml::from_str(text).map_err(|e| e.message().to_owned())?;
        limits.validate().map_err(|e| e.to_string())?;
        Ok(limits)
    }

    #[test]
    fn a_policy_is_read_as_it_is_written() {
        let text = r#"policies = [{ name = "burst", quota = 100, window = "60s", per = "address", ipv4_prefix = 24,
            routes = ["search", "write"], cost = { write = 5 }, dry_run = true }]
            trusted_proxies = ["10.0.0.0/8"]"#;
        let policies = read(text).unwrap().meaning();
        let policy = policies.first().unwrap();
        assert_eq!(policy.quota, Quota { units: 100, window_us: 60_000_000 });
        assert_eq!(policy.per, Per::Address { ipv4_prefix: 24, ipv6_prefix: 64 });
        assert!(policy.covers(Group::Write) && !policy.covers(Group::Read) && policy.dry_run);
        assert_eq!((policy.cost(Group::Write), policy.cost(Group::Search)), (5, 1));
    }

    #[test]
    fn mistakes_are_named() {
        let policy = |more: &str| format!("policies = [{{ name = \"a\", quota = 1, window = \"1s\"{more} }}]");
        assert!(read(&policy("")).is_ok());
        assert!(read(&policy(", routes = [\"reed\"]")).unwrap_err().contains("reed"));
        assert!(read(&policy(", qouta = 1")).unwrap_err().contains("qouta"));
        assert!(read(&policy(", cost = { read = 2 }")).unwrap_err().contains("costs 2"));
        let twice =
            "policies = [{ name = \"a\", quota = 1, window = \"1s\" }, { name = \"a\", quota = 1, window = \"1s\" }]";
        assert!(read(twice).unwrap_err().contains("two policies"));
    }
}
