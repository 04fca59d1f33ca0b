//! All policies of a request: checked first, then charged.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foldhash::quality::RandomState;
use haat_cache::{Cache, CacheError};
use ipnet::IpNet;
use moka::sync::Cache as Accounts;
use smallvec::SmallVec;
use tokio::time::Instant;

use crate::address::network;
use crate::debts::Debts;
use crate::entry::Entry;
use crate::gcra::Quota;
use crate::lease::{Account, Answer, View};
use crate::policy::{Group, Per, Policy};
use crate::runs::Spent;

/// The most keys that are remembered. Of more, those that were not asked for longest are forgotten, which gives each of
/// them a new quota only where there is no shared cache.
const MAX_ACCOUNTS: u64 = 200_000;

/// Of the errors of a cache that is there, one in so many is said.
const COMPLAIN_EVERY: u64 = 1_000;

/// Who asks.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The client, if it said who it is.
    pub client: Option<Arc<str>>,
    /// The policy that the client was given instead of the usual ones per client.
    pub policy: Option<Arc<str>>,
    /// Its address ([`crate::address::Proxies`]).
    pub address: IpAddr,
}

/// How a caller stands with a policy.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The policy.
    pub policy: Arc<Policy>,
    /// Units left.
    pub left: u64,
    /// Until there are more: on a refusal enough for the request, otherwise all of them.
    pub reset: Duration,
    /// Whether it refused the request.
    pub violated: bool,
}

/// What the policies say to a request.
#[derive(Debug, Clone, Default)]
pub struct Decision {
    /// How the caller stands with each policy that is enforced.
    pub standings: Standings,
}

/// How a caller stands with several policies; there are rarely more than two.
pub type Standings = SmallVec<[Standing; 2]>;

impl Decision {
    /// Whether the request may go on.
    pub fn is_allowed(&self) -> bool {
        !self.standings.iter().any(|standing| standing.violated)
    }

    /// When it may be tried again, if it may not go on: when the last of the policies that refuse it lets it pass.
    pub fn retry_after(&self) -> Option<Duration> {
        self.standings.iter().filter(|standing| standing.violated).map(|standing| standing.reset).max()
    }
}

/// The policies of a server.
pub struct Limiter {
    policies: Vec<Arc<Policy>>,
    allowed: Vec<IpNet>,
    shared: Option<Arc<dyn Cache>>,
    /// Among how many a quota is divided while there is no shared cache to tell.
    replicas: u64,
    accounts: Accounts<(usize, Subject), Arc<Account>, RandomState>,
    debts: Arc<Debts>,
    began: Instant,
    /// Requests that a policy on trial would have refused, by policy.
    would_refuse: Vec<AtomicU64>,
    complained: AtomicU64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Subject {
    Client(Arc<str>),
    Network(IpNet),
    All,
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Client(client) => write!(f, "client:{client}"),
            Self::Network(network) => write!(f, "net:{network}"),
            Self::All => f.write_str("all"),
        }
    }
}

/// Where a claim's units came from.
#[derive(Debug, Clone, Copy)]
enum Taking {
    OfLease(Spent),
    /// Of the cache, just those.
    OfCache,
    /// The one that stands in for the cache.
    OfBucket,
    /// There are none before that.
    Refused(Duration),
    /// Nothing was taken.
    Nothing,
}

type Takings = SmallVec<[Taking; 2]>;

fn is_refused(claims: &[Claim<'_>], taken: &[Taking]) -> bool {
    claims.iter().zip(taken).any(|(claim, taking)| matches!(taking, Taking::Refused(_)) && !claim.policy.dry_run)
}

/// A policy that covers a request, and the account it counts on.
struct Claim<'a> {
    index: usize,
    policy: &'a Arc<Policy>,
    account: Arc<Account>,
    subject: Subject,
    cost: u64,
}

impl Claim<'_> {
    /// Its account, for who asks the cache about it.
    fn entry(&self) -> Entry {
        let key = format!("limit:{}:{}", self.policy.name, self.subject);
        Entry { account: Arc::clone(&self.account), key, quota: self.policy.quota }
    }
}

impl Limiter {
    /// The limiter of these policies, which are checked already. Callers from `allowed` are not limited. Without a
    /// `shared` cache, every process counts for itself, over the whole quota; with one that is gone, over the
    /// `replicas`-th part of it.
    pub fn new(policies: Vec<Policy>, allowed: Vec<IpNet>, shared: Option<Arc<dyn Cache>>, replicas: u64) -> Self {
        let shared = shared.filter(|cache| cache.is_shared());
        let replicas = if shared.is_some() { replicas.max(1) } else { 1 };
        let longest = policies.iter().map(|policy| policy.quota.window_us).max().unwrap_or(0);
        let accounts = Accounts::builder()
            .max_capacity(MAX_ACCOUNTS)
            .time_to_idle(Duration::from_micros(longest).max(Duration::from_secs(60)))
            .build_with_hasher(RandomState::default());
        let would_refuse = policies.iter().map(|_| AtomicU64::new(0)).collect();
        let policies = policies.into_iter().map(Arc::new).collect();
        Self {
            policies,
            allowed,
            shared,
            replicas,
            accounts,
            debts: Arc::default(),
            began: Instant::now(),
            would_refuse,
            complained: AtomicU64::new(0),
        }
    }

    /// The policies.
    pub fn policies(&self) -> &[Arc<Policy>] {
        &self.policies
    }

    /// How many requests each policy on trial would have refused.
    pub fn would_refuse(&self) -> impl Iterator<Item = (&Arc<Policy>, u64)> {
        let on_trial = self.policies.iter().zip(&self.would_refuse).filter(|(policy, _)| policy.dry_run);
        on_trial.map(|(policy, count)| (policy, count.load(Ordering::Relaxed)))
    }

    /// As [`Self::charge`], if it can be told without asking anybody and nobody refuses.
    pub fn charge_now(&self, caller: &Caller, group: Group) -> Option<Decision> {
        if self.is_free(caller) {
            return Some(Decision::default());
        }
        self.at_once(&self.claims(caller, |policy| policy.covers(group), |policy| policy.cost(group)))
    }

    fn is_free(&self, caller: &Caller) -> bool {
        self.policies.is_empty() || self.allowed.iter().any(|network| network.contains(&caller.address))
    }

    /// Checks a request against all policies that cover it, and charges it to all of them or, when one refuses it, to
    /// none.
    pub async fn charge(&self, caller: &Caller, group: Group) -> Decision {
        if self.is_free(caller) {
            return Decision::default();
        }
        let claims = self.claims(caller, |policy| policy.covers(group), |policy| policy.cost(group));
        if let Some(decision) = self.at_once(&claims) {
            return decision;
        }
        let now = Instant::now();
        claims.iter().for_each(|claim| claim.account.state().want(claim.cost, now));
        let known = self.known_refusals(&claims);
        if is_refused(&claims, &known) {
            return self.decision(&claims, &known, true);
        }
        let mut taken = Takings::new();
        for claim in &claims {
            taken.push(self.take(claim).await);
        }
        let refused = is_refused(&claims, &taken);
        if refused {
            for (claim, taking) in claims.iter().zip(&taken) {
                self.give_back(claim, *taking).await;
            }
        }
        self.decision(&claims, &taken, refused)
    }

    /// What is refused by what is known already, so that a caller who keeps asking costs no calls and no units.
    fn known_refusals(&self, claims: &[Claim<'_>]) -> Takings {
        let (now, shared) = (Instant::now(), self.cache().is_some());
        let known = |claim: &Claim<'_>| match shared {
            true => claim.account.state().refuses(claim.policy.quota, claim.cost, now),
            false => None,
        };
        claims.iter().map(|claim| known(claim).map_or(Taking::Nothing, Taking::Refused)).collect()
    }

    /// Charges all claims if there is enough for every one without asking anybody, which is how nearly all requests go:
    /// one clock, and one lock per claim. Claims are always in the order of their policies, so nobody waits in a circle.
    fn at_once(&self, claims: &[Claim<'_>]) -> Option<Decision> {
        let (now, leased) = (Instant::now(), self.cache().is_some());
        let now_us = if leased { 0 } else { self.us(now) };
        let quota = |claim: &Claim<'_>| self.quota(claim, leased);
        let mut states: SmallVec<[_; 4]> = claims.iter().map(|claim| claim.account.state()).collect();
        let mut enough = true;
        for (claim, state) in claims.iter().zip(&mut states) {
            enough &= match leased {
                true => state.has(claim.policy.quota, claim.cost, now),
                false => state.has_locally(now, now_us, quota(claim), claim.cost),
            };
        }
        if !enough {
            return None;
        }
        let (mut standings, mut noted) = (Standings::new(), SmallVec::<[_; 2]>::new());
        for (claim, state) in claims.iter().zip(&mut states) {
            state.want(claim.cost, now);
            let is_noted = match leased {
                true => state.spend(claim.policy.quota, claim.cost),
                false => {
                    state.spend_locally(now, now_us, quota(claim), claim.cost);
                    state.enlist()
                }
            };
            noted.extend(is_noted.then_some(claim));
            if !claim.policy.dry_run {
                let View { left, full_in } = state.view(quota(claim), now);
                let policy = Arc::clone(claim.policy);
                standings.push(Standing { policy, left, reset: full_in, violated: false });
            }
        }
        drop(states);
        noted.into_iter().for_each(|claim| if leased { self.refill(claim) } else { self.owes(claim) });
        Some(Decision { standings })
    }

    /// How a caller stands with all policies, without charging anything.
    pub async fn look(&self, caller: &Caller) -> Vec<Standing> {
        let claims = self.claims(caller, |_| true, |_| 0);
        let mut standings = Vec::with_capacity(claims.len());
        for claim in &claims {
            match self.cache() {
                Some(cache) => {
                    let looked = claim.entry().look(&**cache, 0).await;
                    looked.unwrap_or_else(|error| self.complain(claim, &error));
                }
                None => drop(claim.account.take_locally(self.now_us(), self.quota(claim, false), 0)),
            }
            let view = claim.account.view(self.quota(claim, self.cache().is_some()));
            let policy = Arc::clone(claim.policy);
            standings.push(Standing { policy, left: view.left, reset: view.full_in, violated: false });
        }
        standings
    }

    fn claims(
        &self,
        caller: &Caller,
        covers: impl Fn(&Policy) -> bool,
        cost: impl Fn(&Policy) -> u64,
    ) -> SmallVec<[Claim<'_>; 2]> {
        // One that this server does not have, by its configuration, must not leave its clients without any.
        let given = caller.policy.as_deref();
        let given = given.filter(|name| self.policies.iter().any(|policy| policy.assigned && policy.name == **name));
        let covering = self.policies.iter().enumerate().filter(|(_, policy)| covers(policy) && policy.is_for(given));
        let claim = |(index, policy): (usize, _)| {
            let policy: &Arc<Policy> = policy;
            let subject = subject(policy, caller);
            let account = self.accounts.get_with((index, subject.clone()), || Arc::new(Account::new()));
            Claim { index, policy, account, subject, cost: cost(policy) }
        };
        covering.map(claim).collect()
    }

    fn cache(&self) -> Option<&Arc<dyn Cache>> {
        self.shared.as_ref().filter(|cache| cache.is_up())
    }

    /// What there is for a claim: everything where replicas share it, this one's part where they cannot.
    fn quota(&self, claim: &Claim<'_>, shared: bool) -> Quota {
        if shared { claim.policy.quota } else { claim.policy.quota.share(self.replicas) }
    }

    fn now_us(&self) -> i64 {
        self.us(Instant::now())
    }

    /// A time on the clock of buckets in this process.
    fn us(&self, at: Instant) -> i64 {
        i64::try_from(at.saturating_duration_since(self.began).as_micros()).unwrap_or(i64::MAX)
    }

    /// Keeps an account in mind that has begun to owe to a cache that is gone.
    fn owes(&self, claim: &Claim<'_>) {
        if let Some(cache) = &self.shared {
            self.debts.add(claim.entry(), cache);
        }
    }

    /// Asks the cache for a lease that nobody waits for.
    fn refill(&self, claim: &Claim<'_>) {
        let Some(cache) = self.cache().cloned() else {
            return claim.account.refilled(claim.policy.quota, None, Instant::now());
        };
        let entry = claim.entry();
        tokio::spawn(async move { entry.refill(&*cache).await });
    }

    /// Takes a claim's units from its lease, from the cache, or from what stands in for it.
    async fn take(&self, claim: &Claim<'_>) -> Taking {
        let quota = claim.policy.quota;
        loop {
            if self.cache().is_none() {
                return self.take_locally(claim);
            }
            match claim.account.take(quota, claim.cost) {
                Answer::Enough(spent) => return Taking::OfLease(spent),
                Answer::Refused(retry) => return Taking::Refused(retry),
                Answer::Ask(_) => {}
            }
            let turn = claim.account.asking.lock().await;
            let Some(cache) = self.cache() else { continue };
            // Whoever asked before may have asked for enough.
            let most = match claim.account.take(quota, claim.cost) {
                Answer::Enough(spent) => return Taking::OfLease(spent),
                Answer::Refused(retry) => return Taking::Refused(retry),
                Answer::Ask(most) => most,
            };
            let asked = Instant::now();
            match claim.entry().ask(&turn, &**cache, (claim.cost, most), 0).await {
                Ok(taken) => match claim.account.granted(quota, taken, claim.cost, asked) {
                    Some(spent) => return Taking::OfLease(spent),
                    None if taken.granted > 0 => return Taking::OfCache,
                    // The account knows by now until when there is nothing.
                    None => {}
                },
                // A cache that fails is down by now; one that answers but not this (no memory left, no right to run
                // scripts) is of no more use.
                Err(error) => {
                    self.complain(claim, &error);
                    return self.take_locally(claim);
                }
            }
        }
    }

    /// Takes a claim's units from what stands in for the cache.
    fn take_locally(&self, claim: &Claim<'_>) -> Taking {
        let refused = claim.account.take_locally(self.now_us(), self.quota(claim, false), claim.cost);
        if claim.account.state().enlist() {
            self.owes(claim);
        }
        refused.map_or(Taking::OfBucket, Taking::Refused)
    }

    /// Gives back what was taken for a request that another policy refused.
    async fn give_back(&self, claim: &Claim<'_>, taking: Taking) {
        match taking {
            Taking::OfLease(spent) => claim.account.give_back(spent),
            // Kept here it would be spent later than it may be.
            Taking::OfCache => {
                let Some(cache) = self.cache() else { return };
                if let Err(error) = claim.entry().look(&**cache, claim.cost).await {
                    tracing::debug!(%error, policy = claim.policy.name, "units are lost");
                }
            }
            Taking::OfBucket => claim.account.give_back_locally(self.quota(claim, false), claim.cost),
            Taking::Refused(_) | Taking::Nothing => {}
        }
    }

    /// Says that a limit goes without the cache, but not for every request. That the cache is gone is said elsewhere.
    fn complain(&self, claim: &Claim<'_>, error: &CacheError) {
        let said = self.complained.fetch_add(1, Ordering::Relaxed);
        if self.cache().is_some() && said.is_multiple_of(COMPLAIN_EVERY) {
            tracing::warn!(%error, policy = claim.policy.name, "limits are kept by each server for itself");
        }
    }

    fn decision(&self, claims: &[Claim<'_>], taken: &[Taking], refused: bool) -> Decision {
        let mut standings = Standings::new();
        let shared = self.cache().is_some();
        for (claim, taking) in claims.iter().zip(taken) {
            let refusal = if let Taking::Refused(retry) = taking { Some(*retry) } else { None };
            if claim.policy.dry_run {
                if refusal.is_some() {
                    if let Some(count) = self.would_refuse.get(claim.index) {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    tracing::debug!(policy = claim.policy.name, subject = %claim.subject, "would be refused");
                }
                continue;
            }
            let view = claim.account.view(self.quota(claim, shared));
            let violated = refused && refusal.is_some();
            let left = if violated { view.left.min(claim.cost.saturating_sub(1)) } else { view.left };
            let reset = refusal.filter(|_| violated).unwrap_or(view.full_in);
            standings.push(Standing { policy: Arc::clone(claim.policy), left, reset, violated });
        }
        Decision { standings }
    }
}

fn subject(policy: &Policy, caller: &Caller) -> Subject {
    let address = |ipv4, ipv6| Subject::Network(network(caller.address, ipv4, ipv6));
    match (policy.per, &caller.client) {
        (Per::Client, Some(client)) => Subject::Client(Arc::clone(client)),
        (Per::Client, None) => address(32, 64),
        (Per::Address { ipv4_prefix, ipv6_prefix }, _) => address(ipv4_prefix, ipv6_prefix),
        (Per::All, _) => Subject::All,
    }
}
