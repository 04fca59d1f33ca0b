//! The gate: who may ask Redis now, and how it opens again.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind, Value, cmd};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::connect::{Connection, RedisOptions, Target};
use crate::port::CacheError;

/// How often a closed gate looks whether Redis is back.
const PROBE_EVERY: Duration = Duration::from_millis(100);
/// So many probes in a row must be answered in time, like commands, and with a write, before the gate opens: a Redis that
/// is slow, that only reads or that is still loading would otherwise cost one request after the other its patience.
const PROBES: u32 = 2;
/// A connection that has not answered probes for so long is given up for a new one: what is lost on the way (a network
/// that drops packets, a server that moved) does not come back on it.
const GIVE_UP: Duration = Duration::from_secs(1);
/// In so many turns patience is spent, each no longer than its part and a tick of the timer.
const TURNS: u32 = 4;
/// How much later than asked for a timer may wake up a process that has nothing else to do.
const TICK: Duration = Duration::from_millis(1);

/// A connection that is used while it answers.
pub(super) struct Gate {
    target: Target,
    /// What probes write; under the prefix, which may be all that this user may touch.
    probe_key: String,
    patience: Duration,
    connect_timeout: Duration,
    connection: ArcSwapOption<Connection>,
    open: AtomicBool,
    /// Whether a task is at work to open it.
    probing: AtomicBool,
    opened: Notify,
    /// The hashes of scripts by their text's address and length.
    hashes: Mutex<HashMap<(usize, usize), String>>,
    me: Weak<Gate>,
}

impl Gate {
    /// A closed gate, and a task that opens it as soon as Redis answers.
    pub(super) fn open(options: RedisOptions) -> Result<Arc<Self>, CacheError> {
        let target = Target::of(&options)?;
        let gate = Arc::new_cyclic(|me| Self {
            target,
            probe_key: format!("{}probe", options.prefix),
            patience: options.patience,
            connect_timeout: options.connect_timeout,
            connection: ArcSwapOption::empty(),
            open: AtomicBool::new(false),
            probing: AtomicBool::new(false),
            opened: Notify::new(),
            hashes: Mutex::default(),
            me: me.clone(),
        });
        gate.probe();
        Ok(gate)
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    pub(super) async fn opened(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        loop {
            let opened = self.opened.notified();
            if self.is_open() {
                return true;
            }
            if tokio::time::timeout_at(deadline, opened).await.is_err() {
                return self.is_open();
            }
        }
    }

    /// Sends a command. One that is not answered in time closes the gate.
    pub(super) async fn ask(&self, command: &Cmd) -> Result<Value, CacheError> {
        self.send(command).await.map_err(Refused::into_error)
    }

    /// Runs a script, which the server knows by its hash from the second time on.
    pub(super) async fn eval(&self, text: &str, keys: &[String], arguments: &[&[u8]]) -> Result<Value, CacheError> {
        let call = |name: &str, script: &str| {
            let mut command = cmd(name);
            command.arg(script).arg(keys.len()).arg(keys).arg(arguments);
            command
        };
        match self.send(&call("EVALSHA", &self.hash_of(text))).await {
            Err(Refused::Error(e)) if e.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.ask(&call("EVAL", text)).await
            }
            other => other.map_err(Refused::into_error),
        }
    }

    fn hash_of(&self, text: &str) -> String {
        let mut hashes = self.hashes.lock().unwrap_or_else(PoisonError::into_inner);
        let hash = hashes.entry((text.as_ptr().addr(), text.len()));
        hash.or_insert_with(|| redis::Script::new(text).get_hash().to_owned()).clone()
    }

    async fn send(&self, command: &Cmd) -> Result<Value, Refused> {
        if !self.is_open() {
            return Err(Refused::Closed);
        }
        let Some(connection) = self.connection.load_full() else { return Err(Refused::Closed) };
        let mut connection = (*connection).clone();
        match patiently(self.patience, connection.ask(command)).await {
            Some(Ok(Value::ServerError(e))) => Err(Refused::Error(e.into())),
            Some(Ok(value)) => Ok(value),
            Some(Err(e)) if is_answer(&e) => Err(Refused::Error(e)),
            Some(Err(e)) => {
                self.close(&e.to_string());
                Err(Refused::Lost(e.to_string()))
            }
            None => {
                let why = format!("no answer within {:?}", self.patience);
                self.close(&why);
                Err(Refused::Lost(why))
            }
        }
    }

    fn close(&self, why: &str) {
        if self.open.swap(false, Ordering::AcqRel) {
            tracing::warn!(error = why, "Redis does not answer; going on without it");
        }
        self.probe();
    }

    /// Sees to it that a task is at work to open the gate.
    fn probe(&self) {
        if self.probing.swap(true, Ordering::AcqRel) {
            return;
        }
        let me = self.me.clone();
        let began = Instant::now();
        tokio::spawn(async move {
            let (mut silent_since, mut answered) = (began, 0);
            // Nobody holds the cache any more: nobody waits for it.
            while let Some(gate) = me.upgrade() {
                answered = if gate.look(&mut silent_since).await { answered + 1 } else { 0 };
                if (1..PROBES).contains(&answered) {
                    continue;
                }
                if answered >= PROBES {
                    gate.probing.store(false, Ordering::Release);
                    gate.open.store(true, Ordering::Release);
                    gate.opened.notify_waiters();
                    tracing::info!(after_ms = began.elapsed().as_millis(), "Redis answers");
                    return;
                }
                drop(gate);
                tokio::time::sleep(PROBE_EVERY).await;
            }
        });
    }

    /// Writes something that soon goes by itself; says whether Redis took it or has a reason not to that has to do with the
    /// command alone.
    async fn write(&self, connection: &mut Connection) -> Result<bool, RedisError> {
        let mut probe = cmd("SET");
        probe.arg(&self.probe_key).arg(1).arg("PX").arg(1_000);
        match connection.ask(&probe).await {
            Ok(Value::ServerError(e)) => Ok(is_answer(&e.into())),
            Ok(_) => Ok(true),
            Err(e) if matches!(e.kind(), ErrorKind::Server(_)) => Ok(is_answer(&e)),
            Err(e) => Err(e),
        }
    }

    /// Whether Redis answers: on the connection there is, or on a new one.
    async fn look(&self, silent_since: &mut Instant) -> bool {
        if let Some(connection) = self.connection.load_full() {
            let mut connection = (*connection).clone();
            match patiently(self.patience, self.write(&mut connection)).await {
                Some(Ok(well)) => return well,
                Some(Err(_)) => self.connection.store(None),
                None if silent_since.elapsed() >= GIVE_UP => self.connection.store(None),
                None => return false,
            }
        }
        *silent_since = Instant::now();
        match timeout(self.connect_timeout, self.target.connect(self.connect_timeout)).await {
            Ok(Ok(mut connection)) => {
                // Written to as well as connected: a frozen server still accepts connections.
                let answered = timeout(self.connect_timeout, self.write(&mut connection)).await;
                self.connection.store(Some(Arc::new(connection)));
                matches!(answered, Ok(Ok(true)))
            }
            Ok(Err(e)) => {
                tracing::debug!(error = %e.category(), "Redis cannot be reached");
                false
            }
            Err(_) => false,
        }
    }
}

/// Why a command has no answer.
enum Refused {
    Closed,
    Lost(String),
    Error(RedisError),
}

impl Refused {
    fn into_error(self) -> CacheError {
        match self {
            Self::Closed => CacheError::Unavailable("it did not answer before".into()),
            Self::Lost(why) => CacheError::Unavailable(why),
            Self::Error(e) => CacheError::Failed(e.to_string()),
        }
    }
}

/// Whether the server is well and it is the command that it did not like.
fn is_answer(error: &RedisError) -> bool {
    let busy = [
        ServerErrorKind::BusyLoading,
        ServerErrorKind::ClusterDown,
        ServerErrorKind::MasterDown,
        ServerErrorKind::ReadOnly,
    ];
    match error.kind() {
        ErrorKind::Server(kind) => !busy.contains(&kind),
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType | ErrorKind::Extension => true,
        _ => false,
    }
}

/// What comes of `answer` before `patience` is over. Turns that come late, because the machine does not let this process
/// run, do not count in full: they say nothing about Redis, whose answer may lie there unread.
async fn patiently<F: Future>(patience: Duration, answer: F) -> Option<F::Output> {
    let turn = patience / TURNS;
    let (mut answer, mut left) = (pin!(answer), patience);
    while !left.is_zero() {
        let began = Instant::now();
        match timeout(turn.min(left), &mut answer).await {
            Ok(answer) => return Some(answer),
            Err(_) => left = left.saturating_sub(began.elapsed().min(turn + TICK)),
        }
    }
    None
}

/// A text that no other process or thread makes.
pub(super) fn unique() -> String {
    use std::hash::{BuildHasher, Hasher, RandomState};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let word = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}{:x}", word(), word(), COUNT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(10);

    #[tokio::test(start_paused = true)]
    async fn patience_has_an_end() {
        let began = Instant::now();
        assert!(patiently(PATIENCE, std::future::pending::<()>()).await.is_none());
        assert!((PATIENCE..PATIENCE + TICK * TURNS).contains(&began.elapsed()), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_comes_late_is_not_held_against_redis() {
        let answer = Notify::new();
        // In this order: when the turn comes the timer has gone off, and the answer is not there yet.
        let (found, ()) = tokio::join!(biased; patiently(PATIENCE, answer.notified()), async {
            tokio::time::advance(PATIENCE * 4).await;
            answer.notify_one();
        });
        assert!(found.is_some());
    }
}
