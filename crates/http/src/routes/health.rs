//! `/livez`: the process answers. `/readyz`: so do the parts it needs.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use futures::future::join_all;
use haat_catalog::ports::{Health, IndexStatus};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer;
use crate::problem::{Code, Problem};
use crate::state::SharedApp;

/// The most time that a dependency may take to answer.
const CHECK_TIME: Duration = Duration::from_secs(2);

/// The process lives.
#[derive(Serialize, ToSchema)]
pub(crate) struct Live {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Whether the server is ready, part by part.
#[derive(Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// Always `ready`; a server that is not answers a problem with the same `checks`.
    #[schema(example = "ready")]
    status: &'static str,
    /// Every dependency.
    checks: Vec<Check>,
}

/// One dependency.
#[derive(Serialize, ToSchema)]
pub(crate) struct Check {
    /// Its name.
    #[schema(example = "index")]
    name: &'static str,
    /// How it is.
    state: CheckState,
    /// More about it, for a person.
    detail: String,
    /// Of the index: how far it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    progress: Option<Progress>,
}

/// How a dependency is.
#[derive(Serialize, ToSchema, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CheckState {
    /// It works.
    Ok,
    /// It does not answer or answers with an error.
    Failing,
    /// It is not complete yet; it becomes so by itself.
    Building,
    /// The server is shutting down.
    Draining,
}

/// How far the index is.
#[derive(Serialize, ToSchema)]
pub(crate) struct Progress {
    /// Every change up to this one is in the index.
    seq: u64,
    /// The newest change known.
    head: u64,
    /// Products in the index.
    documents: u64,
}

/// Does the process answer
#[utoipa::path(get, path = "/livez", operation_id = "livez", tag = "operating",
    responses((status = 200, description = "It does.", body = Live)))]
pub(crate) async fn livez() -> Response {
    answer::json(StatusCode::OK, &br#"{"status":"ok"}"#[..])
}

/// Is the server ready for traffic
///
/// Ready means that every dependency answers, that the index is complete, and that the server is not shutting down.
#[utoipa::path(get, path = "/readyz", operation_id = "readyz", tag = "operating",
    responses((status = 200, description = "It is.", body = Readiness)))]
pub(crate) async fn readyz(State(app): State<SharedApp>) -> Result<Response, Problem> {
    let mut checks = join_all(app.services.health.iter().map(|health| check(&**health))).await;
    checks.push(index(app.services.index.status()));
    if app.services.stopping.is_cancelled() {
        let detail = "the server is shutting down".to_owned();
        checks.push(Check { name: "server", state: CheckState::Draining, detail, progress: None });
    }
    if checks.iter().all(|check| check.state == CheckState::Ok) {
        let body = serde_json::to_vec(&Readiness { status: "ready", checks });
        return Ok(answer::json(StatusCode::OK, body.unwrap_or_default()));
    }
    let failing: Vec<_> = checks.iter().filter(|c| c.state != CheckState::Ok).map(|c| c.name).collect();
    let problem = Problem::new(Code::NotReady, format!("Not ready: {}.", failing.join(", ")));
    Err(problem.with("checks", serde_json::to_value(&checks).unwrap_or_default()))
}

/// Asks a dependency. Why it fails is for the log: the text may name hosts and accounts.
async fn check(health: &dyn Health) -> Check {
    let name = health.name();
    let answer = tokio::time::timeout(CHECK_TIME, health.check()).await;
    let failure = match answer {
        Ok(Ok(())) => return Check { name, state: CheckState::Ok, detail: "answers".to_owned(), progress: None },
        Ok(Err(error)) => error,
        Err(_) => format!("no answer within {} s", CHECK_TIME.as_secs()),
    };
    tracing::warn!(dependency = name, error = failure, "dependency check failed");
    let detail = "does not answer; the server's log says why".to_owned();
    Check { name, state: CheckState::Failing, detail, progress: None }
}

fn index(status: IndexStatus) -> Check {
    let IndexStatus { seq, head, documents, ready, .. } = status;
    let progress = Some(Progress { seq: seq.0, head: head.0, documents });
    let (state, detail) = if ready {
        (CheckState::Ok, format!("{documents} products, up to change {seq}"))
    } else {
        (CheckState::Building, format!("being built: {documents} products, change {seq} of {head}"))
    };
    Check { name: "index", state, detail, progress }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;

    struct Part(Result<(), String>, Duration);

    #[async_trait]
    impl Health for Part {
        fn name(&self) -> &'static str {
            "database"
        }
        async fn check(&self) -> Result<(), String> {
            tokio::time::sleep(self.1).await;
            self.0.clone()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_dependency_that_fails_or_hangs_is_failing_and_its_text_is_not_told() {
        let ok = check(&Part(Ok(()), Duration::ZERO)).await;
        assert_eq!(ok.state, CheckState::Ok);
        let failing = check(&Part(Err("password of haat@db-1 refused".into()), Duration::ZERO)).await;
        assert_eq!(failing.state, CheckState::Failing);
        assert!(!failing.detail.contains("db-1"));
        assert_eq!(check(&Part(Ok(()), Duration::from_secs(60))).await.state, CheckState::Failing);
    }

    #[test]
    fn an_index_that_is_being_built_tells_how_far_it_is() {
        let status =
            IndexStatus { seq: haat_catalog::Seq(5), head: haat_catalog::Seq(9), documents: 4, ..Default::default() };
        let check = index(status);
        assert_eq!(check.state, CheckState::Building);
        assert!(check.detail.contains("change 5 of 9"));
    }
}
