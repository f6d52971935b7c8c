//! One running server: its parts wired together, started in order and stopped without losing anything.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use endpoints::{
    net::{self, Deadlines, Proxies, Server, Socket},
    smtp::{Budget, Kind, Settings, listen, listen_locally},
};
use filter::Dns;
use mail::Mine;
use queue::{Worker, tlsrpt::Ledger};
use tokio::{
    net::{TcpListener, UnixListener, UnixStream},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    causes::in_words,
    certificates, checks,
    config::{Config, Door, Listen, Local, ProxyProtocol, SearchIndex},
    data::{self, Held},
    demo, disk,
    dkim::{self, DomainSigner},
    door,
    index::{self, Index},
    members::{Member, Warnings},
    outbound,
    parts::{self, Indexing, Parts},
    programs::Programs,
    reports::Reports,
    roles::{Role, Roles},
    telemetry,
    web::{self, Web, serve, setup::Offers},
};

/// What to run.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub roles: Roles,
    /// Accounts to try, with mail in them.
    pub demo: bool,
}

/// Where a node listens; the ports are the real ones also where 0 was configured.
#[derive(Debug, Clone, Copy, Default)]
pub struct Addresses {
    pub web: Option<SocketAddr>,
    pub smtp: Option<SocketAddr>,
    pub submission: Option<SocketAddr>,
    pub submissions: Option<SocketAddr>,
    /// If it is no socket in a folder.
    pub lmtp: Option<SocketAddr>,
    pub imap: Option<SocketAddr>,
    pub imaps: Option<SocketAddr>,
    pub pop3: Option<SocketAddr>,
    pub pop3s: Option<SocketAddr>,
}

/// A running server.
pub struct Node {
    pub addresses: Addresses,
    /// The use-cases, for whoever runs the node in-process.
    pub mail: mail::Service,
    /// Others should be asked from now on.
    leaving: CancellationToken,
    drain: Duration,
    stop: CancellationToken,
    tasks: TaskTracker,
    listeners: Server,
    programs: Server,
    reports: Arc<Reports>,
    _held: Option<Held>,
}

/// Sockets that are bound before anything is opened, so that a taken port costs nothing.
struct Sockets {
    web: Option<TcpListener>,
    smtp: Vec<(Kind, TcpListener)>,
    lmtp: Option<UnixListener>,
    programs: Programs,
    addresses: Addresses,
}

/// How often the metrics' histograms are tidied up.
const UPKEEP: Duration = Duration::from_secs(30);

impl Node {
    /// Starts everything; when it returns, the node takes requests.
    ///
    /// # Errors
    /// What cannot be opened or bound, and by which key it was configured.
    pub async fn start(mut config: Config, options: Options) -> anyhow::Result<Self> {
        let Options { roles, demo } = options;
        let held = data::hold(&config)?;
        anyhow::ensure!(
            !demo || config.directory.url.is_file(),
            "--demo: it is for databases in files; see directory.url"
        );
        // To be tried with any program, on this machine alone.
        let doors = [config.submission.listen, config.imap.listen, config.pop3.listen];
        if demo && doors.iter().all(|door| door.0.is_none_or(|address| address.ip().is_loopback())) {
            config.auth.allow_cleartext = true;
            tracing::info!("programs may log in without TLS, since the demo is for this machine alone");
        }
        let metrics = telemetry::metrics();
        let sockets = Sockets::bind(&config, &roles).await?;
        let parts = parts::open(&config, Indexing::Here).await?;
        let indexed = accept_index(&parts, &roles).await?;
        if demo {
            demo::fill(&parts.mail, &config.data_dir).await.context("the demo's mail")?;
        }

        let (leaving, stop, tasks) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let upkeep = metrics.clone();
        tasks.spawn(until(stop.clone(), async move {
            loop {
                tokio::time::sleep(UPKEEP).await;
                upkeep.run_upkeep();
            }
        }));
        let Sockets { web, smtp, lmtp, programs, addresses } = sockets;
        let warnings = Warnings::default();
        if let Index::Meili(late) = parts.index.clone() {
            let warnings = warnings.clone();
            let arrive = async move { late.arrive(|text| warnings.set("search", text)).await };
            tasks.spawn(until(stop.clone(), arrive));
        }
        let member = join(&config, &parts, &roles, &warnings).await?;
        if let Some(member) = member.clone() {
            tasks.spawn(member.stay(stop.clone()));
        }
        let drain = config.drain.delay.0;
        let config = Arc::new(config);
        let dns = Dns::new(config.dns.resolver.0).context("dns.resolver")?;
        look_around(&config, &parts, &warnings, &stop, &tasks);
        let reports = keep_reports(&config, &parts, &dns, &roles, &stop, &tasks)?;
        if roles.has(Role::Worker) {
            let sessions = reports.of_sessions();
            work(&config, &parts, (&dns, sessions), &addresses, (member, indexed), &stop, &tasks)?;
        }
        let (listeners, programs) = receive(&config, &parts, dns.clone(), &reports, smtp, lmtp, programs)?;
        if let Some(listener) = web {
            let state = Web {
                setup: Arc::new(Offers::new(&config, parts::hostname(&config), &addresses)),
                clicks: outbound::clicks(&config, &dns)?,
                mail: parts.mail.clone(),
                config,
                metrics,
                sockets: Default::default(),
                warnings,
                leaving: leaving.clone(),
                stop: stop.clone(),
                tasks: tasks.clone(),
            };
            let limits = http_limits(&state.config);
            let socket = Socket { listener, proxies: proxies(&state.config, Door::Http) };
            let app = web::router(state, &roles);
            tasks.spawn(serve::serve(socket, app, limits, stop.clone(), tasks.clone()));
        }
        tracing::info!(?addresses, "started");
        Ok(Self {
            addresses,
            mail: parts.mail,
            leaving,
            drain,
            stop,
            tasks,
            listeners,
            programs,
            reports,
            _held: held,
        })
    }

    /// Sends the reports that are due by then to those who want them; returns how many mails that made. For whoever
    /// runs the node in-process: by itself it does so now and then.
    ///
    /// # Errors
    /// The directory does not answer.
    pub async fn report(&self, by: types::Timestamp) -> anyhow::Result<usize> {
        self.reports.write_down().await;
        self.reports.send_due(by).await
    }

    /// Says that it is leaving, and after `drain.delay` takes nothing new, finishes what runs, and gives up on what is
    /// not finished after `grace`.
    pub async fn stop(self, grace: Duration) {
        self.leaving.cancel();
        if !self.drain.is_zero() {
            tracing::info!(delay = ?self.drain, "leaving");
            tokio::time::sleep(self.drain).await;
        }
        self.stop.cancel();
        self.tasks.close();
        let everything = async {
            tokio::join!(self.listeners.shutdown(grace), self.programs.shutdown(grace), self.tasks.wait());
            self.reports.write_down().await;
            self.mail.finish_writes().await;
        };
        if timeout(grace + Duration::from_secs(1), everything).await.is_err() {
            tracing::warn!("stopped before everything was finished");
        }
        tracing::info!("stopped");
    }
}

/// What every node minds, whatever its roles: ends of sessions, and room on its disks.
fn look_around(
    config: &Arc<Config>,
    parts: &Parts,
    warnings: &Warnings,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) {
    let (sessions, until_ended) = (parts.mail.clone(), stop.clone());
    tasks.spawn(async move { sessions.run_endings(until_ended).await });
    let (config, warnings) = (Arc::clone(config), warnings.clone());
    tasks.spawn(until(stop.clone(), async move { disk::watch(&config, warnings).await }));
}

/// Counts what is to be reported to others; workers send it.
fn keep_reports(
    config: &Config,
    parts: &Parts,
    dns: &Dns,
    roles: &Roles,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) -> anyhow::Result<Arc<Reports>> {
    let reports = Arc::new(Reports::new(config, parts, dns)?);
    let (running, stop, sends) = (Arc::clone(&reports), stop.clone(), roles.has(Role::Worker));
    tasks.spawn(async move { running.run(sends, stop).await });
    Ok(reports)
}

async fn until(stop: CancellationToken, work: impl Future<Output = ()>) {
    stop.run_until_cancelled(work).await;
}

impl Sockets {
    async fn bind(config: &Config, roles: &Roles) -> anyhow::Result<Self> {
        let mut sockets = Self {
            web: None,
            smtp: Vec::new(),
            lmtp: None,
            programs: Programs::default(),
            addresses: Addresses::default(),
        };
        // Whatever it does, it says whether it is ready.
        sockets.web = bind("http.listen", config.http.listen).await?;
        sockets.addresses.web = sockets.web.as_ref().map(TcpListener::local_addr).transpose()?;
        if roles.has(Role::Smtp) {
            for (kind, key, listen) in [
                (Kind::Mx, "smtp.listen", config.smtp.listen),
                (Kind::Submission, "submission.listen", config.submission.listen),
                (Kind::Submissions, "submissions.listen", config.submissions.listen),
            ] {
                let Some(listener) = bind(key, listen).await? else { continue };
                let bound = Some(listener.local_addr()?);
                match kind {
                    Kind::Mx => sockets.addresses.smtp = bound,
                    Kind::Submission => sockets.addresses.submission = bound,
                    Kind::Submissions => sockets.addresses.submissions = bound,
                    Kind::Lmtp => sockets.addresses.lmtp = bound,
                }
                sockets.smtp.push((kind, listener));
            }
            sockets.bind_lmtp(config).await?;
        }
        sockets.programs = Programs::bind(config, roles, &mut sockets.addresses).await?;
        Ok(sockets)
    }
}

impl Sockets {
    async fn bind_lmtp(&mut self, config: &Config) -> anyhow::Result<()> {
        match &config.lmtp.listen {
            Local::Nowhere => {}
            Local::Address(address) => {
                if let Some(listener) = bind("lmtp.listen", Listen(Some(*address))).await? {
                    self.addresses.lmtp = Some(listener.local_addr()?);
                    self.smtp.push((Kind::Lmtp, listener));
                }
            }
            Local::Socket(path) => {
                let path = config.in_data(path);
                // Of a server that was killed.
                if path.exists() && UnixStream::connect(&path).await.is_err() {
                    std::fs::remove_file(&path)
                        .with_context(|| format!("lmtp.listen: {}", path.display()))?;
                }
                let listener = UnixListener::bind(&path);
                self.lmtp = Some(listener.with_context(|| format!("lmtp.listen: {}", path.display()))?);
            }
        }
        Ok(())
    }
}

pub(crate) async fn bind(key: &str, Listen(address): Listen) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = address else { return Ok(None) };
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            anyhow::bail!("{key}: {address} is in use by another program")
        }
        Err(error) => Err(error).with_context(|| format!("{key}: {address} cannot be listened on")),
    }
}

/// Takes the node's place among the others; one whose directory is a file has none, since it holds its data folder.
async fn join(
    config: &Config,
    parts: &Parts,
    roles: &Roles,
    warnings: &Warnings,
) -> anyhow::Result<Option<Member>> {
    if config.directory.url.is_file() {
        return Ok(None);
    }
    let made_up = || format!("{}-{:08x}", parts::hostname(config), u32::from_le_bytes(parts::random()));
    let name = config.node.name.clone().unwrap_or_else(made_up);
    let (directory, clock) = (Arc::clone(&parts.directory), Arc::clone(&parts.clock));
    Member::join(directory, clock, name, roles.has(Role::Worker), warnings.clone()).await.map(Some)
}

/// Notes where the indexer runs that a new index lacks everything; false if that has to wait for a part that is away.
async fn accept_index(parts: &Parts, roles: &Roles) -> anyhow::Result<bool> {
    if !roles.has(Role::Worker) {
        return Ok(true);
    }
    match parts.index.accept(&parts.mail).await {
        Ok(()) => Ok(true),
        Err(error) if index::is_temporary(&error) => {
            tracing::warn!(error = in_words(&error), "the index has to wait");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Deliveries, indexing, cleaning up.
fn work(
    config: &Config,
    parts: &Parts,
    (dns, sessions): (&Dns, Option<Arc<dyn Ledger>>),
    addresses: &Addresses,
    (member, indexed): (Option<Member>, bool),
    stop: &CancellationToken,
    tasks: &TaskTracker,
) -> anyhow::Result<()> {
    let hostname = parts::hostname(config);
    let router = outbound::router(config, &parts.mail, &hostname, addresses.smtp, sessions.as_ref())?;
    let (directory, clock) = (Arc::clone(&parts.directory), Arc::clone(&parts.clock));
    let signer = DomainSigner::new(Arc::clone(&directory), Arc::clone(&clock), hostname.clone());
    tasks.spawn(dkim::watch(directory, dns.clone(), clock, stop.clone()));
    let worker = Worker::new(queue::worker::Parts {
        mail: parts.mail.clone(),
        router: Arc::new(router),
        courier: Arc::new(outbound::courier(config, &hostname, sessions)?),
        signer: Some(Arc::new(signer)),
        config: outbound::worker(config, &hostname),
        shutdown: stop.clone(),
    });
    let works_alone = member.is_none();
    let mine: Mine = match member {
        Some(member) => Arc::new(move |shard| member.has(shard)),
        None => mail::everything(),
    };
    tasks.spawn(async move {
        // Nobody else works where the data folder is held.
        if works_alone {
            worker.take_over().await;
        }
        worker.run().await;
    });
    let (lengths, until_told, told) = (parts.mail.clone(), stop.clone(), mine.clone());
    tasks.spawn(async move { lengths.run_lengths(told, until_told).await });
    let (indexer, house, moves) = (parts.mail.clone(), parts.mail.clone(), parts.mail.clone());
    let (until_indexed, until_clean, until_moved) = (stop.clone(), stop.clone(), stop.clone());
    if config.search.url != SearchIndex::None {
        let index = parts.index.clone();
        tasks.spawn(async move {
            if !indexed {
                until_indexed.run_until_cancelled(index.accept_in_time(&indexer)).await;
            }
            indexer.run_indexer(mine, until_indexed).await;
        });
    }
    let (quotas, until_measured) = (parts.mail.clone(), stop.clone());
    tasks.spawn(async move { quotas.run_quotas(until_measured).await });
    tasks.spawn(async move { house.run_housekeeping(until_clean).await });
    tasks.spawn(async move { moves.run_moves(until_moved).await });
    Ok(())
}

fn http_limits(config: &Config) -> serve::Limits {
    serve::Limits {
        connections: count(config.limits.http_connections),
        header_within: config.http.timeout.0,
        write_within: config.http.timeout.0,
        per_client: count(config.limits.http_connections_per_address),
        proxies: config.http.trusted_proxies.clone(),
    }
}

/// The listeners for mail servers, and those for mail programs: whoever sends takes no place from who reads.
fn receive(
    config: &Config,
    parts: &Parts,
    dns: Dns,
    reports: &Reports,
    sockets: Vec<(Kind, TcpListener)>,
    lmtp: Option<UnixListener>,
    programs: Programs,
) -> anyhow::Result<(Server, Server)> {
    let server = |connections, per_address: u32, per_network: u32| {
        Server::new(net::Config {
            connections: count(connections),
            connections_per_client: count(per_address),
            connections_per_network: match per_network {
                0 => usize::MAX,
                most => count(most.max(per_address)),
            },
            deadlines: Deadlines { whole_content: config.limits.receiving_time.0, ..Deadlines::default() },
        })
    };
    let limits = &config.limits;
    // Whole companies read their mail from one address.
    let for_programs = server(limits.program_connections, limits.program_connections_per_address, 0);
    let server = server(limits.connections, limits.connections_per_address, limits.connections_per_network);
    if sockets.is_empty() && lmtp.is_none() && programs.is_empty() {
        return Ok((server, for_programs));
    }
    let hostname = parts::hostname(config);
    let (certificate, for_people) = certificates::of(config, &hostname)?;
    let settings = Settings {
        limits: smtp::Limits {
            message: config.limits.message_size.0,
            recipients: count(config.limits.recipients),
            text_line: config.limits.line_size.bytes(),
            ..smtp::Limits::default()
        },
        allow_cleartext: config.auth.allow_cleartext,
        budget: Arc::new(Budget::new(config.limits.receiving_memory.bytes())),
        content_within: config.limits.receiving_time.0,
        door: Some(Arc::new(checks::door(config, &hostname, dns, reports.of_mail()))),
        hostname,
        clock: Arc::clone(&parts.clock),
        policy: Arc::new(door::policy(config)?),
        hold_seconds: u32::try_from(config.limits.hold_time.0.as_secs()).ok().filter(|seconds| *seconds > 0),
    };
    let mta = Arc::new(parts.mail.clone());
    if let Some(listener) = lmtp {
        listen_locally(&server, listener, Arc::clone(&mta), &settings);
    }
    for (kind, listener) in sockets {
        let proxies = match kind {
            Kind::Mx => proxies(config, Door::Smtp),
            Kind::Submission => proxies(config, Door::Submission),
            Kind::Submissions => proxies(config, Door::Submissions),
            Kind::Lmtp => Proxies::default(),
        };
        let socket = Socket { listener, proxies };
        let tls = if kind == Kind::Mx { &certificate } else { &for_people };
        listen(&server, socket, kind, Some(Arc::clone(tls)), Arc::clone(&mta), &settings)?;
    }
    programs.listen(&for_programs, config, &parts.mail, &for_people, &settings.budget)?;
    Ok((server, for_programs))
}

/// The load balancers whose PROXY header is believed at this listener.
pub(crate) fn proxies(config: &Config, door: Door) -> Proxies {
    let ProxyProtocol { from, listeners } = &config.proxy_protocol;
    if listeners.contains(&door) { Proxies::new(from) } else { Proxies::default() }
}

pub(crate) fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
