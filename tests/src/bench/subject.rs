//! What forwards: Tandem, and what a user would take in its place.

use std::{
    fmt::{self, Write as _},
    fs,
    io::Write as _,
    net::{SocketAddr, TcpStream},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use aya::{Ebpf, EbpfLoader, Pod, maps::Array, programs::xdp::XdpMode};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};

use super::{
    choice::{CHOICES, Choice},
    front::{OBJECT, load, take_map, xdp},
    line::{BACKEND_MAC, Cpus, FAR_MAC, Line, backends, cpu_time_of, vip},
    template::{CLIENT_MAC, Family},
};
use crate::{
    Process, Tandem,
    cable::take_frames,
    prog_run::DIRECTOR_MAC,
    tool, wait_for,
    xdp::{Link, Program, instruction, interface_index},
};

/// For a server to open its port.
const START: Duration = Duration::from_secs(10);

/// Connections that a proxy may have at a time: two open files each, of those that the lab may have.
const PROXIED: u32 = 4000;

/// Something that forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// An XDP program of four instructions that sends everything to the other interface.
    Redirect,
    /// The same with both MAC addresses written, which every forwarder has to do: so it touches the packet, whose bytes another
    /// CPU has written.
    Rewrite,
    /// The least that balances: by a hash, and without memory. Unlike the bare redirect it has to wait for the packet's bytes,
    /// which another CPU has written.
    Stateless,
    /// The same with a hundred instructions more that wait for the packet: what any balancer can reach here that does so much.
    Late,
    /// Tandem, by direct routing.
    Dr,
    /// Tandem, through IP in IP.
    Ipip,
    /// Tandem, by NAT.
    Nat,
    /// The kernel, by a route.
    Routing,
    /// nftables: destination NAT by a map, with conntrack.
    Nftables,
    /// IPVS, with NAT.
    Ipvs,
    /// HAProxy, in TCP mode.
    Haproxy,
    /// nginx, as a proxy of TCP streams.
    Nginx,
}

/// How each was configured, for the end of a result: so that anybody can say that it was unfair.
///
/// # Errors
/// Those of the formatter.
pub fn write_configurations<'a>(
    f: &mut fmt::Formatter<'_>,
    rows: impl Iterator<Item = (&'a str, &'a str)>,
) -> fmt::Result {
    for (name, how) in rows {
        writeln!(f, "\nhow it was configured: {name}")?;
        for line in how.lines().filter(|line| !line.trim().is_empty()) {
            writeln!(f, "    {line}")?;
        }
    }
    Ok(())
}

/// What is to be forwarded.
#[derive(Debug, Clone, Copy)]
pub struct Task {
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// To which port of the VIP; the backends' servers have the same one.
    pub port: u16,
    /// Of how many flows at a time.
    pub flows: u32,
    /// By which network protocol.
    pub family: Family,
}

/// What keeps a subject at work; dropping it ends it.
pub struct AtWork {
    /// How it was configured.
    pub how: String,
    /// A proxy.
    process: Option<Process>,
    _links: Vec<Link>,
    _director: Option<Tandem>,
    _programs: Vec<Ebpf>,
}

impl AtWork {
    fn new(how: impl Into<String>) -> Self {
        Self {
            how: how.into(),
            process: None,
            _links: Vec::new(),
            _director: None,
            _programs: Vec::new(),
        }
    }

    /// CPU time that processes of its own took so far, beside what the kernel's threads do.
    ///
    /// # Errors
    /// When it has ended.
    pub fn cpu_time(&self) -> Result<Duration> {
        let process = self.process.as_ref();
        process.map_or(Ok(Duration::ZERO), |process| cpu_time_of(process.id()))
    }
}

impl Subject {
    /// Those that packets of one direction can be sent through, the floor first.
    pub const OF_PACKETS: [Self; 10] = [
        Self::Redirect,
        Self::Rewrite,
        Self::Stateless,
        Self::Late,
        Self::Dr,
        Self::Ipip,
        Self::Nat,
        Self::Routing,
        Self::Nftables,
        Self::Ipvs,
    ];

    /// Those that connections can be opened through, the floor first.
    pub const OF_CONNECTIONS: [Self; 7] = [
        Self::Stateless,
        Self::Routing,
        Self::Nat,
        Self::Nftables,
        Self::Ipvs,
        Self::Haproxy,
        Self::Nginx,
    ];

    /// What it is called in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Redirect => "bare XDP redirect",
            Self::Rewrite => "XDP redirect, MACs written",
            Self::Stateless => "XDP redirect by a hash",
            Self::Late => "XDP redirect by a hash, 100 steps",
            Self::Dr => "Tandem, direct routing",
            Self::Ipip => "Tandem, IPIP",
            Self::Nat => "Tandem, NAT",
            Self::Routing => "kernel routing, no balancing",
            Self::Nftables => "nftables DNAT map",
            Self::Ipvs => "IPVS, NAT",
            Self::Haproxy => "HAProxy, TCP mode",
            Self::Nginx => "nginx stream",
        }
    }

    /// Why it cannot be measured with such packets.
    #[must_use]
    pub fn obstacle(self, flows: u32, family: Family) -> Option<String> {
        const MOST: &str = "/proc/sys/net/netfilter/nf_conntrack_max";
        if matches!(self, Self::Stateless | Self::Late) && family == Family::V6 {
            return Some("it knows IPv4 alone".to_owned());
        }
        if self == Self::Ipvs {
            return without_ipvs();
        }
        if self != Self::Nftables {
            return None;
        }
        let most: u32 = fs::read_to_string(MOST).ok()?.trim().parse().ok()?;
        (flows > most).then(|| format!("conntrack holds {most} flows on this machine ({MOST})"))
    }

    /// Puts it to work.
    ///
    /// # Errors
    /// What it says when it cannot.
    pub fn put_to_work(self, line: &Line, task: Task, cpus: Cpus) -> Result<AtWork> {
        match self {
            Self::Redirect => redirect(line),
            Self::Rewrite => {
                let program = towards(line, "rewrite", Direction::Backends)?;
                Ok(AtWork {
                    _programs: vec![program],
                    ..AtWork::new("MAC addresses written, then bpf_redirect")
                })
            }
            Self::Stateless => by_a_hash(line, task, "choose", ""),
            Self::Late => by_a_hash(
                line,
                task,
                "choose_late",
                ", which takes a hundred instructions more",
            ),
            Self::Dr => direct(line, &config(line, task, "dr")),
            Self::Ipip => direct(line, &config(line, task, "tunnel")),
            Self::Nat => direct(line, &config(line, task, "nat")),
            Self::Routing => {
                let links = forwarding(line, task.family)?;
                let vip = vip(task.family);
                line.backend
                    .namespace()
                    .ip(&[format!("address add {vip} dev lo")])?;
                let [backend, ..] = backends(task.family);
                let route = format!("route add {vip} via {backend} dev {}", line.far);
                line.forwarder.namespace().ip(&[&route])?;
                Ok(AtWork {
                    _links: links,
                    ..AtWork::new(format!("ip {route}"))
                })
            }
            Self::Nftables => {
                let links = forwarding(line, task.family)?;
                own_vip(line, task.family)?;
                let rules = ruleset(task);
                feed(line, "nft", &["-f", "-"], &rules)?;
                if task.family == Family::V6 {
                    // All datagrams have the checksum of the first flow: see `Template::datagrams6`.
                    line.forwarder
                        .namespace()
                        .set("netfilter/nf_conntrack_checksum", "0")?;
                }
                Ok(AtWork {
                    _links: links,
                    ..AtWork::new(rules)
                })
            }
            Self::Ipvs => {
                let links = forwarding(line, task.family)?;
                own_vip(line, task.family)?;
                let rules = virtual_service(task);
                feed(line, "ipvsadm", &["-R"], &rules)?;
                Ok(AtWork {
                    _links: links,
                    ..AtWork::new(rules)
                })
            }
            Self::Haproxy => {
                let config = haproxy(task);
                proxy(line, task, cpus, "haproxy", &["-db", "-f"], &config)
            }
            Self::Nginx => {
                let config = nginx(line, task);
                proxy(line, task, cpus, "nginx", &["-e", "stderr", "-c"], &config)
            }
        }
    }
}

/// Why there is no IPVS to compare with.
fn without_ipvs() -> Option<String> {
    const LOADED: &str = "/proc/net/ip_vs";
    if !fs::exists(LOADED).unwrap_or(false) {
        return Some(format!(
            "this kernel has no IPVS, or it is not loaded ({LOADED}; `modprobe ip_vs`)"
        ));
    }
    tool::find("ipvsadm").err().map(|error| error.to_string())
}

/// The program of this name in both directions, with the VIP on the servers.
fn by_a_hash(line: &Line, task: Task, program: &'static str, more: &str) -> Result<AtWork> {
    let directions = [Direction::Backends, Direction::Clients];
    let programs = directions.map(|direction| towards(line, program, direction));
    let vip = vip(task.family);
    line.backend
        .namespace()
        .ip(&[format!("address add {vip} dev lo")])?;
    Ok(AtWork {
        _programs: programs.into_iter().collect::<Result<_>>()?,
        ..AtWork::new(format!(
            "a table of 1024 places by a hash of source and ports{more}, MAC addresses written, then bpf_redirect"
        ))
    })
}

fn direct(line: &Line, config: &str) -> Result<AtWork> {
    let director = Tandem::start(&line.forwarder, config)?;
    Ok(AtWork {
        _director: Some(director),
        ..AtWork::new(config)
    })
}

fn config(line: &Line, task: Task, forward: &str) -> String {
    let flows = (2 * task.flows).next_power_of_two().max(1024);
    let Task { protocol, port, .. } = task;
    let listen = SocketAddr::new(vip(task.family), port);
    let family = match task.family {
        Family::V4 => "v4",
        Family::V6 => "v6",
    };
    // Others have none, and the table takes twice the memory of that of flows.
    let translations = if forward == "nat" {
        format!("translations_{family} = {flows}\n")
    } else {
        String::new()
    };
    let mut config = format!(
        "[director]\ninterfaces = [\"{}\", \"{}\"]\n\n[limits]\nflows_{family} = {flows}\n{translations}\n\
         [[service]]\nname = \"bench\"\nlisten = [\"{listen}/{protocol}\"]\nforward = \"{forward}\"\n",
        line.near, line.far,
    );
    for backend in backends(task.family) {
        let _ = write!(config, "\n[[service.backend]]\naddress = \"{backend}\"\n");
    }
    config
}

/// `bpf_redirect(ifindex, 0)` (helper 23 in linux/bpf.h).
fn redirect(line: &Line) -> Result<AtWork> {
    const MOV64_IMM: u8 = 0xb7;
    const CALL: u8 = 0x85;
    const EXIT: u8 = 0x95;
    const BPF_REDIRECT: i32 = 23;
    let namespace = line.forwarder.namespace();
    let index = namespace.enter(|| interface_index(&line.far))??;
    let program = Program::load(
        "bench_redirect",
        &[
            instruction(MOV64_IMM, 1, 0, 0, index as i32),
            instruction(MOV64_IMM, 2, 0, 0, 0),
            instruction(CALL, 0, 0, 0, BPF_REDIRECT),
            instruction(EXIT, 0, 0, 0, 0),
        ],
    )?;
    Ok(AtWork {
        _links: vec![program.attach(namespace, &line.near)?],
        ..AtWork::new("bpf_redirect to the other interface")
    })
}

// SAFETY: 32-bit words only.
unsafe impl Pod for Choice {}

/// Which way packets go.
#[derive(Debug, Clone, Copy)]
enum Direction {
    /// To the backends.
    Backends,
    /// Back.
    Clients,
}

/// One of the benchmark's own forwarders, one way, with all choices the same: there is one host behind all backends.
fn towards(line: &Line, program: &'static str, direction: Direction) -> Result<Ebpf> {
    let (by, from, macs) = match direction {
        Direction::Backends => (&line.near, &line.far, [BACKEND_MAC, FAR_MAC]),
        Direction::Clients => (&line.far, &line.near, [CLIENT_MAC, DIRECTOR_MAC]),
    };
    let mut ebpf = EbpfLoader::new()
        .load(OBJECT)
        .context("the kernel refused the benchmark's maps")?;
    let namespace = line.forwarder.namespace();
    let word = |bytes: &[u8]| u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let macs = macs.concat();
    let choice = Choice {
        interface: namespace.enter(|| interface_index(from))??,
        macs: [word(&macs[..4]), word(&macs[4..8]), word(&macs[8..])],
    };
    let mut table: Array<_, Choice> = take_map(&mut ebpf, "CHOOSE")?.try_into()?;
    for place in 0..CHOICES {
        table.set(place, choice, 0)?;
    }
    load(&mut ebpf, program)?;
    namespace.enter(|| {
        xdp(&mut ebpf, program)?
            .attach(by, XdpMode::Driver)
            .context("attaching")
    })??;
    Ok(ebpf)
}

/// The kernel's stack forwards. A veth takes frames only with a program on it, so there is one that passes everything.
fn forwarding(line: &Line, family: Family) -> Result<Vec<Link>> {
    let setting = match family {
        Family::V4 => "ipv4/ip_forward",
        Family::V6 => "ipv6/conf/all/forwarding",
    };
    line.forwarder.namespace().set(setting, "1")?;
    take_all(line)
}

fn take_all(line: &Line) -> Result<Vec<Link>> {
    let interfaces = [&line.near, &line.far];
    let links = interfaces.map(|interface| take_frames(&line.forwarder, interface));
    Ok(links.into_iter().collect::<Result<_, _>>()?)
}

/// The VIP is an address of the forwarder, as it is Tandem's.
fn own_vip(line: &Line, family: Family) -> Result<()> {
    let assign = format!("address add {} dev {}", vip(family), line.near);
    Ok(line.forwarder.namespace().ip(&[&assign])?)
}

fn ruleset(task: Task) -> String {
    let [a, b, c] = backends(task.family);
    let vip = vip(task.family);
    let Task { protocol, port, .. } = task;
    let ip = match task.family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    };
    format!(
        "table {ip} bench {{
  chain in {{
    type nat hook prerouting priority dstnat; policy accept;
    {ip} daddr {vip} {protocol} dport {port} dnat to jhash {ip} saddr . {protocol} sport mod 3 map {{ 0 : {a}, 1 : {b}, 2 : {c} }}
  }}
}}
"
    )
}

/// As `ipvsadm -R` reads it.
fn virtual_service(task: Task) -> String {
    let service = SocketAddr::new(vip(task.family), task.port);
    let option = if task.protocol == "udp" { "-u" } else { "-t" };
    let mut rules = format!("-A {option} {service} -s rr\n");
    for backend in backends(task.family) {
        let backend = SocketAddr::new(backend, task.port);
        let _ = writeln!(rules, "-a {option} {service} -r {backend} -m");
    }
    rules
}

/// Has a program of the forwarder read rules.
fn feed(line: &Line, program: &str, arguments: &[&str], rules: &str) -> Result<()> {
    let mut command = line.forwarder.command(program)?;
    let mut reading = command
        .args(arguments)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {program}"))?;
    if let Some(mut stdin) = reading.stdin.take() {
        stdin
            .write_all(rules.as_bytes())
            .with_context(|| format!("talking to {program}"))?;
    }
    let output = reading.wait_with_output()?;
    ensure!(
        output.status.success(),
        "{program} refuses the rules: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn haproxy(task: Task) -> String {
    let (port, vip) = (task.port, vip(task.family));
    let mut config = format!(
        "global
  nbthread 1
  maxconn {PROXIED}
defaults
  mode tcp
  timeout connect 10s
  timeout client 1m
  timeout server 1m
listen bench
  bind {vip}:{port}
  balance roundrobin
"
    );
    for (number, backend) in backends(task.family).iter().enumerate() {
        let _ = writeln!(config, "  server b{number} {backend}:{port}");
    }
    config
}

/// One process, as with `worker_processes 1`, that can be waited for and measured.
fn nginx(line: &Line, task: Task) -> String {
    let (port, vip) = (task.port, vip(task.family));
    let directory = line.forwarder.run_dir().display();
    let mut config = format!(
        "load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
master_process off;
pid {directory}/stream.pid;
error_log stderr;
events {{ worker_connections {}; multi_accept on; }}
stream {{
  upstream backends {{
",
        2 * PROXIED
    );
    for backend in backends(task.family) {
        let _ = writeln!(config, "    server {backend}:{port};");
    }
    let _ = write!(
        config,
        "  }}
  server {{ listen {vip}:{port} backlog=65535; proxy_pass backends; tcp_nodelay on; }}
}}
"
    );
    config
}

/// Starts a proxy on the forwarder's CPU and waits until it accepts connections.
fn proxy(
    line: &Line,
    task: Task,
    cpus: Cpus,
    program: &str,
    arguments: &[&str],
    config: &str,
) -> Result<AtWork> {
    let links = take_all(line)?;
    own_vip(line, task.family)?;
    let path = line.forwarder.run_dir().join(format!("{program}.conf"));
    fs::write(&path, config).with_context(|| format!("writing {}", path.display()))?;
    let mut command = line.forwarder.command(program)?;
    command.args(arguments).arg(&path);
    let process = line.forwarder.spawn(program, command)?;
    let mut only = CpuSet::new();
    only.set(cpus.forwarder)?;
    sched_setaffinity(Pid::from_raw(process.id().cast_signed()), &only)
        .context("moving the proxy to its CPU")?;
    wait_for(START, format!("{program} to accept connections"), || {
        process.status().is_some()
            || line
                .forwarder
                .enter(|| TcpStream::connect((vip(task.family), task.port)))
                .is_ok_and(|connected| connected.is_ok())
    })?;
    ensure!(
        process.status().is_none(),
        "{program} has ended: {}",
        process.log()
    );
    Ok(AtWork {
        process: Some(process),
        _links: links,
        ..AtWork::new(config)
    })
}
