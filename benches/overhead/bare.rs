//! The yardstick: the same messages at the same times between as many hosts of the same simulated network, each with an
//! axum server that has its answers ready, and nothing else of ours.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{panic, thread};

use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Router, body};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use semisync::base::NodeId;
use tokio::time::sleep;
use turmoil::net::{TcpListener, TcpStream};

use super::Failure;
use super::schedule::{Connection, Exchange, Schedule};

const PORT: u16 = 8000;
/// Tells a server which exchange of the schedule a request is. It stands where the program has a header of its own.
const PLACE_HEADER: &str = "semisync-request";

/// What came of it.
#[derive(Default)]
pub(super) struct Tally {
    /// How many requests were sent.
    pub(super) sent: AtomicUsize,
    /// How many answers came, each as it should be.
    pub(super) answered: AtomicUsize,
    /// How many of those came within a millisecond of when they came in the run, or a few where a connection had to be made.
    pub(super) on_time: AtomicUsize,
}

/// Runs the schedule in a thread of its own, as the simulator does.
pub(super) fn run(schedule: &Arc<Schedule>) -> Result<Arc<Tally>, Failure> {
    let schedule = Arc::clone(schedule);
    let simulation = thread::spawn(move || simulate(&schedule).map_err(|error| error.to_string()));
    let result = simulation.join().unwrap_or_else(|panic| panic::resume_unwind(panic));
    Ok(result?)
}

/// Everything that is set here is as `src/sim/engine/world.rs` and the built-in scenario have it.
fn simulate(schedule: &Arc<Schedule>) -> turmoil::Result<Arc<Tally>> {
    let mut sim = turmoil::Builder::new()
        .tick_duration(Duration::from_millis(1))
        .simulation_duration(Duration::from_secs(365 * 24 * 3600))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(1))
        .tcp_capacity(65_536)
        .ephemeral_ports(1024..=u16::MAX)
        .epoch(std::time::UNIX_EPOCH)
        .rng_seed(42)
        .build();
    let tally = Arc::new(Tally::default());
    for node in schedule.nodes.iter().copied() {
        let (schedule, tally) = (Arc::clone(schedule), Arc::clone(&tally));
        sim.host(node.to_string(), move || {
            talk(&schedule, &tally, |from| from == node);
            serve(Arc::clone(&schedule))
        });
    }
    let end = schedule.end;
    let (schedule, clients) = (Arc::clone(schedule), Arc::clone(&tally));
    sim.client("client", async move {
        talk(&schedule, &clients, |from| matches!(from, NodeId::Client(_)));
        sleep(end).await;
        Ok(())
    });
    sim.run()?;
    Ok(tally)
}

async fn serve(schedule: Arc<Schedule>) -> turmoil::Result {
    let router = Router::new().route("/set", post(answer)).route("/replicate", post(answer)).with_state(schedule);
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let service = TowerToHyperService::new(router.clone());
        // The run's answers have no date either.
        let mut server = server::Builder::new();
        tokio::spawn(server.auto_date_header(false).serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(
    State(schedule): State<Arc<Schedule>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<impl IntoResponse, StatusCode> {
    let place = headers.get(PLACE_HEADER).and_then(|place| place.to_str().ok()?.parse::<usize>().ok());
    let exchange = place.and_then(|place| schedule.exchanges.get(place)).ok_or(StatusCode::NOT_FOUND)?;
    if body != exchange.request {
        return Err(StatusCode::BAD_REQUEST);
    }
    if let Some(at) = exchange.answered_at {
        sleep(at.saturating_sub(now())).await;
    }
    Ok(([(header::CONTENT_TYPE, "application/json")], body::Body::from(exchange.answer.clone())))
}

/// Starts every connection that comes from here.
fn talk(schedule: &Arc<Schedule>, tally: &Arc<Tally>, is_here: impl Fn(NodeId) -> bool) {
    for (number, _) in schedule.connections.iter().enumerate().filter(|(_, connection)| is_here(connection.from)) {
        let (schedule, tally) = (Arc::clone(schedule), Arc::clone(tally));
        // One that fails leaves requests unanswered, and they are counted.
        tokio::spawn(async move { drop(schedule.connections[number].carry(&schedule.exchanges, &tally).await) });
    }
}

impl Connection {
    /// Sends each request at its time, and waits for its answer. Opened when it is needed first.
    async fn carry(&self, exchanges: &[Exchange], tally: &Tally) -> Result<(), Failure> {
        let host = format!("{}:{PORT}", self.to);
        let mut open = None;
        for place in &self.exchanges {
            let exchange = &exchanges[*place];
            sleep(exchange.sent_at.saturating_sub(now())).await;
            // The leader of the run has its connections before the story begins; to make one takes a few milliseconds more.
            let slack = if open.is_none() && self.from == NodeId::FIRST_SERVER { 4 } else { 1 };
            let sender = match &mut open {
                Some(sender) => sender,
                None => open.insert(connect(&host).await?),
            };
            let request = Request::post(exchange.path)
                .header(header::CONTENT_TYPE, "application/json")
                .header(PLACE_HEADER, *place)
                .header(header::HOST, &host)
                .body(Full::new(exchange.request.clone()))?;
            tally.sent.fetch_add(1, Ordering::Relaxed);
            let response = sender.send_request(request).await?;
            let status = response.status();
            let answer = response.into_body().collect().await?.to_bytes();
            if (status, &answer) != (StatusCode::OK, &exchange.answer) {
                return Err(format!("request {place} got status {status} and {answer:?}").into());
            }
            tally.answered.fetch_add(1, Ordering::Relaxed);
            if now().abs_diff(exchange.received_at) <= Duration::from_millis(slack) {
                tally.on_time.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

async fn connect(host: &str) -> Result<client::SendRequest<Full<Bytes>>, Failure> {
    let stream = TcpStream::connect(host).await?;
    let (sender, connection) = client::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// Virtual time since the simulation began.
fn now() -> Duration {
    turmoil::sim_elapsed().expect("it runs inside a simulation")
}
