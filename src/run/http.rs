//! Probes and metrics over HTTP, on a thread of their own: a busy pipeline does
//! not make the probes slow, nor the other way round.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use weir_actors::budget::Budget;
use weir_actors::registry::Registry;
use weir_actors::stats::Stats;
use weir_actors::store::Store;

use super::metrics;

/// What is seen of a node from outside.
#[derive(Clone)]
pub struct Observed {
    /// What it counts.
    pub stats: Arc<Stats>,
    /// Its partitions.
    pub registry: Arc<Registry>,
    /// Its bound on memory.
    pub budget: Budget,
    /// Its store.
    pub store: Arc<dyn Store>,
    /// It is on its way out.
    pub stopping: Arc<AtomicBool>,
}

/// How long the store may take to answer the probe.
const PING_MAX: Duration = Duration::from_secs(2);

/// Serves `/healthz`, `/readyz` and `/metrics`; returns the address, whose port
/// was chosen by the system if 0 was asked for.
///
/// # Errors
/// If the address cannot be listened on.
pub fn serve(listen: SocketAddr, observed: Observed) -> anyhow::Result<SocketAddr> {
    let taken = || format!("http.listen: cannot listen on {listen}; is another node there?");
    let listener = std::net::TcpListener::bind(listen).with_context(taken)?;
    listener.set_nonblocking(true).with_context(taken)?;
    let address = listener.local_addr().with_context(taken)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime for HTTP")?;
    let router = Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(all_metrics))
        .with_state(observed);
    std::thread::Builder::new()
        .name("http".into())
        .spawn(move || {
            let served = runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                axum::serve(listener, router).await
            });
            if let Err(error) = served {
                tracing::error!(%error, "HTTP ended");
            }
        })
        .context("no thread for HTTP")?;
    Ok(address)
}

async fn ready(State(observed): State<Observed>) -> impl IntoResponse {
    let mut missing = Vec::new();
    if observed.stopping.load(Ordering::Relaxed) {
        missing.push("stopping".to_owned());
    }
    if !observed.registry.was_assigned() {
        missing.push("the group has assigned nothing yet".to_owned());
    }
    for progress in observed.registry.partitions() {
        if let Some(why) = progress.stopped() {
            missing.push(format!("{} is stopped: {why}", progress.partition));
        }
    }
    match tokio::time::timeout(PING_MAX, observed.store.ping()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => missing.push(error.to_string()),
        Err(_) => missing.push(format!("the store has not answered for {PING_MAX:?}")),
    }
    if missing.is_empty() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, missing.join("\n") + "\n")
    }
}

async fn all_metrics(State(observed): State<Observed>) -> impl IntoResponse {
    let content = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    match metrics::render(&observed) {
        Ok(text) => (StatusCode::OK, content, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, content, format!("{error}\n")),
    }
}
