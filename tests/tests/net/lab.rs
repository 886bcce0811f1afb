//! Two namespaces and a veth pair between them:
//! `director (this thread) dir0 10.0.0.1 ── peer0 10.0.0.11 peer (its own thread)`, and 2001:db8::/64 likewise.
//!
//! A namespace lives as long as the thread in it, so nothing is left behind however a test ends.

use std::{
    fs,
    io::Write as _,
    net::IpAddr,
    os::fd::{AsRawFd, OwnedFd},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use lb_userspace::{
    core::neighbour::{Egress, Mac, NextHop, Timing, Unresolved},
    net::monitor::{Change, Monitor},
};
use nix::{
    errno::Errno,
    net::if_::if_nametoindex,
    sched::{CloneFlags, unshare},
    sys::socket::{
        AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrLike, bind, recv,
        setsockopt, socket, sockopt,
    },
    sys::time::{TimeVal, TimeValLike},
    unistd::{geteuid, gettid},
};

pub(crate) const DIRECTOR_MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
pub(crate) const PEER_MAC: Mac = Mac([2, 0, 0, 0, 0, 2]);
pub(crate) const ALTERNATIVE_MAC: Mac = Mac([2, 0, 0, 0, 0, 3]);
pub(crate) const PEER_V4: &str = "10.0.0.11";
pub(crate) const PEER_V6: &str = "2001:db8::11";

/// Longer than any bound under test, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);

/// The daemon's times, but shorter.
pub(crate) fn timing() -> Timing {
    Timing {
        refresh: Duration::from_millis(400),
        retry: Duration::from_millis(300),
        answer: Duration::from_millis(1500),
        ..Timing::default()
    }
}

pub(crate) struct Lab {
    pub(crate) peer: Peer,
}

impl Lab {
    /// Runs a test in a fresh pair of namespaces, on a runtime like the daemon's.
    pub(crate) fn run(test: impl AsyncFnOnce(Lab) + Send + 'static) {
        assert!(
            geteuid().is_root(),
            "this test makes network namespaces and needs root: run it as `sudo -E cargo test -p lb-userspace --test net`"
        );
        let director = thread::spawn(move || {
            enter_namespace();
            let lab = Lab { peer: Peer::start() };
            lab.connect();
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime")
                .block_on(test(lab));
        });
        if let Err(panic) = director.join() {
            std::panic::resume_unwind(panic);
        }
    }

    /// Makes the veth pair, with addresses and with kernel timers short enough for tests.
    pub(crate) fn connect(&self) {
        ip(&format!(
            "link add dir0 address {DIRECTOR_MAC} type veth peer name peer0 address {PEER_MAC} netns {}",
            self.peer.tid
        ));
        for family in ["ipv4", "ipv6"] {
            fs::write(
                format!("/proc/sys/net/{family}/neigh/dir0/retrans_time_ms"),
                "100",
            )
            .expect("a timer");
        }
        self.peer.run(|| {
            ip("link set peer0 up");
            address_peer();
        });
        ip("link set dir0 up");
        ip("address add 10.0.0.1/24 dev dir0");
        ip("address add 2001:db8::1/64 dev dir0 nodad");
    }

    pub(crate) fn watch(&self, targets: Vec<IpAddr>) -> Watch {
        let monitor = Monitor::spawn(timing()).expect("a monitor");
        monitor.set_targets(targets);
        Watch {
            monitor,
            history: Vec::new(),
        }
    }

    /// A watch that has seen all of them resolved.
    pub(crate) async fn watch_resolved(&self, targets: Vec<IpAddr>) -> Watch {
        let mut watch = self.watch(targets.clone());
        for target in targets {
            watch.resolved(target).await;
        }
        watch
    }

    pub(crate) fn ifindex(&self) -> u32 {
        if_nametoindex("dir0").expect("the director's interface")
    }
}

/// The peer's addresses; called in its namespace.
pub(crate) fn address_peer() {
    ip(&format!("address replace {PEER_V4}/24 dev peer0"));
    ip(&format!("address replace {PEER_V6}/64 dev peer0 nodad"));
}

type Job = Box<dyn FnOnce() + Send>;

/// A thread in a namespace of its own that runs what it is given.
pub(crate) struct Peer {
    tid: i32,
    jobs: mpsc::Sender<Job>,
}

impl Peer {
    fn start() -> Self {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (started, ready) = mpsc::channel();
        thread::spawn(move || {
            enter_namespace();
            started
                .send(gettid().as_raw())
                .expect("somebody started this thread");
            inbox.into_iter().for_each(|job| job());
        });
        Self {
            tid: ready.recv().expect("the peer's namespace"),
            jobs,
        }
    }

    /// Runs `job` in the peer's namespace and waits for it.
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = mpsc::channel();
        self.jobs
            .send(Box::new(move || drop(done.send(job()))))
            .expect("the peer runs");
        result.recv().expect("the job did not panic")
    }

    /// Waits until the peer knows `address` at `mac`.
    pub(crate) fn wait_for_neighbour(&self, address: &'static str, mac: Mac) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let table = self.run(move || command("ip", &format!("neigh show {address} dev peer0")));
            if table.contains(&format!("lladdr {mac}")) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "the peer still has {table:?}, not {mac}"
            );
            thread::yield_now();
        }
    }
}

fn enter_namespace() {
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
    ip("link set lo up");
}

/// A monitor and all that it has said.
pub(crate) struct Watch {
    pub(crate) monitor: Monitor,
    pub(crate) history: Vec<Change>,
}

impl Watch {
    /// Waits until `address` is shown as `expected`; it may be so already.
    pub(crate) async fn until(&mut self, address: IpAddr, expected: impl Fn(&Egress) -> bool) -> Egress {
        let what = format!("{address} to become as expected");
        in_time(&what, async {
            loop {
                let latest = self.history.iter().rev().find(|change| change.address == address);
                if let Some(change) = latest.filter(|change| expected(&change.egress)) {
                    return change.egress.clone();
                }
                let change = self.monitor.next().await.expect("the monitor goes on");
                self.history.push(change);
            }
        })
        .await
    }

    pub(crate) async fn resolved(&mut self, address: IpAddr) -> NextHop {
        match self
            .until(address, |egress| matches!(egress, Egress::Resolved(_)))
            .await
        {
            Egress::Resolved(hop) => hop,
            Egress::Unresolved(reason) => unreachable!("asked for resolved, not {reason}"),
        }
    }

    /// The reason why `address` is out, past the first "not yet".
    pub(crate) async fn unresolved(&mut self, address: IpAddr) -> Unresolved {
        let out = |egress: &Egress| matches!(egress, Egress::Unresolved(reason) if *reason != Unresolved::NotYetResolved);
        match self.until(address, out).await {
            Egress::Unresolved(reason) => reason,
            Egress::Resolved(hop) => unreachable!("asked for unresolved, not {hop:?}"),
        }
    }
}

pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(DEADLINE, future).await;
    result.unwrap_or_else(|_| panic!("waited {} s for {what}", DEADLINE.as_secs()))
}

/// Runs a program with arguments that hold no spaces, in the calling thread's namespace; its standard output.
pub(crate) fn command(program: &str, arguments: &str) -> String {
    let output = Command::new(program)
        .args(arguments.split_whitespace())
        .output()
        .expect("it is installed");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments}: {complaint}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn ip(arguments: &str) {
    command("ip", arguments);
}

/// Many commands of `ip` at the speed of one process.
pub(crate) fn ip_batch(commands: impl Iterator<Item = String>) {
    let mut child = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("it is installed");
    let mut input = child.stdin.take().expect("a pipe");
    for line in commands {
        writeln!(input, "{line}").expect("it reads");
    }
    drop(input);
    assert!(child.wait().expect("its end").success());
}

/// How many messages the netlink sockets of this namespace have lost.
pub(crate) fn netlink_drops() -> u64 {
    let table = fs::read_to_string("/proc/thread-self/net/netlink").expect("proc");
    let mut lines = table.lines();
    let column = lines
        .next()
        .and_then(|head| head.split_whitespace().position(|name| name == "Drops"));
    let column = column.expect("a column of drops");
    lines
        .filter_map(|line| line.split_whitespace().nth(column)?.parse::<u64>().ok())
        .sum()
}

/// Takes the calling thread's capabilities away; the system call acts on the thread, unlike libc's function.
pub(crate) fn become_nobody() {
    const NOBODY: libc::uid_t = 65534;
    // SAFETY: no pointers are involved.
    let result = unsafe { libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) };
    assert_eq!(result, 0);
}

/// Sees every frame that arrives on an interface of the namespace it was opened in.
pub(crate) struct Capture(OwnedFd);

impl Capture {
    pub(crate) fn open(interface: &str) -> Self {
        let ifindex = if_nametoindex(interface).expect("the interface");
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket =
            socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll).expect("a socket");
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
            sll_ifindex: ifindex.cast_signed(),
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        let length = size_of_val(&address) as libc::socklen_t;
        // SAFETY: a whole sockaddr_ll of `length` bytes.
        let address = unsafe { LinkAddr::from_raw((&raw const address).cast(), Some(length)) };
        bind(socket.as_raw_fd(), &address.expect("a link address")).expect("bound");
        let patience = TimeVal::milliseconds(100);
        setsockopt(&socket, sockopt::ReceiveTimeout, &patience).expect("a timeout");
        Self(socket)
    }

    /// The first frame that is as wanted.
    pub(crate) fn wait_for(&self, wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let deadline = Instant::now() + DEADLINE;
        let mut buffer = [0; 2048];
        while Instant::now() < deadline {
            match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(length) if length >= 14 && wanted(&buffer[..length]) => return buffer[..length].to_vec(),
                Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(errno) => panic!("the capture failed: {errno}"),
            }
        }
        panic!("no such frame arrived");
    }
}
