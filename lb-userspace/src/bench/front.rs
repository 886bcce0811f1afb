//! A front and the program behind it, in the kernel.

use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result, bail};
use aya::{
    Ebpf, EbpfLoader, Pod, include_bytes_aligned,
    maps::{Array, Map, MapData, ProgramArray},
    programs::{ProgramFd, TestRun as _, TestRunAttrs, TestRunOptions, Xdp},
};

use super::{
    machine::{cpu_time, fdinfo},
    packet_source::PacketSource,
    path::{FRACTION, Pace},
    template::{Family, Order, Template},
};

/// The programs that measure (`lb-ebpf/src/bin/bench_xdp`).
pub static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bench-xdp"));

/// What a program puts in front of a packet, and its front takes off again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrapping {
    /// Nothing.
    Bare,
    /// An IPv4 header.
    Ipip,
    /// An IPv4 header, a UDP header and GUE's.
    Gue,
}

impl Wrapping {
    /// Length of its headers.
    const fn length(self) -> usize {
        match self {
            Self::Bare => 0,
            Self::Ipip => 20,
            Self::Gue => 32,
        }
    }

    /// The one whose headers have this length.
    pub(super) fn of_length(length: usize) -> Option<Self> {
        [Self::Bare, Self::Ipip, Self::Gue]
            .into_iter()
            .find(|wrapping| wrapping.length() == length)
    }
}

// SAFETY: 64-bit words only.
unsafe impl Pod for PacketSource {}
// SAFETY: as above.
unsafe impl Pod for Pace {}

/// A program that does next to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Floor {
    /// Returns `XDP_PASS`.
    Empty,
    /// Exchanges the MAC addresses and returns `XDP_TX`.
    Swap,
    /// Puts a constant IPv4 header in front of the packet and returns `XDP_TX`.
    Ipip,
    /// This many steps of a xorshift generator, at most 4095; returns `XDP_PASS`.
    KnownCost(u64),
}

/// What a generator does with its packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// Sends them as they are.
    Plain,
    /// Writes the time into their last 8 bytes first.
    Stamped,
}

/// The end of a generator that knows how many packets have come to a sink: see [`Sink::in_step`](super::sink::Sink::in_step).
#[derive(Debug)]
pub struct InStep {
    program: ProgramFd,
    pace: MapData,
}

impl InStep {
    /// From the sink's own object: `window` packets may be under way to the sink, which is on this CPU.
    pub(super) fn new(ebpf: &mut Ebpf, window: u32, sink_cpu: usize) -> Result<Self> {
        let program = load_fd(ebpf, "send")?;
        let Map::Array(map) = take_map(ebpf, "PACE")? else {
            bail!("the benchmark's map PACE is no array");
        };
        let step = Self { program, pace: map };
        let pace = Pace {
            window,
            sink_cpu: sink_cpu.try_into().context("no such CPU")?,
            ..Pace::default()
        };
        Array::<_, Pace>::try_from(step.pace()?)?.set(0, pace, 0)?;
        Ok(step)
    }

    fn pace(&self) -> Result<Map> {
        let pace = self.pace.fd().as_fd().try_clone_to_owned()?;
        Ok(Map::Array(MapData::from_fd(pace)?))
    }
}

/// What is measured behind a front.
#[derive(Debug)]
pub enum Target<'a> {
    /// A floor.
    Floor(Floor),
    /// An interface: the front is a generator.
    Wire(Wire),
    /// The same, and the generator waits for room where it has no rate to keep.
    InStep(&'a InStep),
    /// A program that is loaded already. Like the fronts, it must be one for frames in several buffers (`xdp.frags`).
    Program(&'a ProgramFd),
}

/// A front with its own packets and one program behind it.
pub struct Front {
    ebpf: Ebpf,
    entry: &'static str,
    source: Array<MapData, PacketSource>,
    pace: Array<MapData, Pace>,
    /// Keeps the program behind the front: the kernel empties the map when its last handle goes.
    _target: ProgramArray<MapData>,
    packet: Vec<u8>,
    /// The interface that its packets are said to come in by.
    interface: Option<u32>,
}

/// `xdp_md` (linux/bpf.h) of a packet of so many bytes: data, data_end, data_meta, which interface and queue it is said to come
/// from, and none to go out by.
pub(super) fn context(length: usize, interface: u32) -> [[u8; 4]; 6] {
    [0, length as u32, 0, interface, 0, 0].map(u32::to_ne_bytes)
}

/// One repeated run.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// CPU time of all repetitions, in nanoseconds, and of the system call around them.
    pub nanoseconds: f64,
    /// Whether somebody had the kernel measure all BPF programs meanwhile (`bpf_stats`), which costs more than many of
    /// them.
    pub accounted: bool,
    /// What the program returned the last time.
    pub action: u32,
    /// The packet as it was left the last time.
    pub packet: Vec<u8>,
}

impl Front {
    /// Loads a front for packets of `flows` flows, and `target` behind it, which wraps them so.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn new(
        template: &Template,
        flows: u32,
        order: Order,
        target: &Target<'_>,
        wrapping: Wrapping,
    ) -> Result<Self> {
        let mut ebpf = EbpfLoader::new()
            .load(OBJECT)
            .context("the kernel refused the benchmark's maps (are you root?)")?;
        let mut packet = template.first_packet().to_vec();
        packet.splice(..0, vec![0; wrapping.length()]);
        let entry = match (template.family, wrapping) {
            (Family::V4, Wrapping::Ipip) => "front_v4_encapsulated",
            (Family::V4, Wrapping::Gue) => "front_v4_gue",
            (Family::V4, Wrapping::Bare) => "front_v4",
            (Family::V6, Wrapping::Bare) => "front_v6",
            (Family::V6, Wrapping::Ipip | Wrapping::Gue) => bail!("there is no front for IPv6 in a tunnel"),
        };
        let program = match target {
            Target::Program(program) => program.try_clone()?,
            Target::Floor(floor) => load_floor(&mut ebpf, *floor)?,
            Target::InStep(InStep { program, .. }) => program.try_clone()?,
            Target::Wire(Wire::Plain) => load_fd(&mut ebpf, "send")?,
            Target::Wire(Wire::Stamped) => load_fd(&mut ebpf, "send_stamped")?,
        };
        let mut source: Array<_, PacketSource> = take_map(&mut ebpf, "SOURCE")?.try_into()?;
        source.set(0, template.source(flows, order), 0)?;
        let pace = match target {
            Target::InStep(step) => step.pace()?,
            Target::Floor(_) | Target::Wire(_) | Target::Program(_) => take_map(&mut ebpf, "PACE")?,
        };
        let pace = pace.try_into()?;
        let mut target: ProgramArray<_> = take_map(&mut ebpf, "TARGET")?.try_into()?;
        load(&mut ebpf, entry)?;
        target
            .set(0, &program, 0)
            .context("the kernel refused the program behind the front")?;
        Ok(Self {
            ebpf,
            entry,
            source,
            pace,
            _target: target,
            packet,
            interface: None,
        })
    }

    /// The same with packets that are said to come in by the interface of this index, not by loopback.
    #[must_use]
    pub fn coming_by(self, interface: Option<u32>) -> Self {
        Self { interface, ..self }
    }

    /// Runs the program on the next `packets` packets.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn run(&mut self, packets: u32) -> Result<Run> {
        let mut packet = vec![0; self.packet.len() + 256];
        let program = xdp(&mut self.ebpf, self.entry)?;
        let mut options = TestRunOptions::new();
        options.data_in = Some(&self.packet);
        options.data_out = Some(&mut packet);
        let context = self
            .interface
            .map(|interface| context(self.packet.len(), interface));
        options.ctx_in = context.as_ref().map(|context| context.as_flattened());
        options.repeat = packets;
        let runs = |program: &Xdp| fdinfo(program.fd()?.as_fd(), "run_cnt");
        let runs_before = runs(program)?;
        let before = cpu_time()?;
        let result = program.test_run(options).context("running the front")?;
        let nanoseconds = cpu_time()? - before;
        let accounted = runs(program)? != runs_before;
        packet.truncate(result.data_size_out as usize);
        Ok(Run {
            nanoseconds,
            accounted,
            action: result.return_value,
            packet,
        })
    }

    /// Sends the next `packets` packets out of this interface of the calling thread's network, which must have an XDP program:
    /// so many at once, 256 at most, at a rate of so many a second, or else as fast as it goes. What no longer fits into the
    /// receiver's queue is lost without a word.
    ///
    /// The kernel takes milliseconds to begin, if the machine is busy: rather few calls than many.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn send(&mut self, packets: u32, at_once: u32, rate: Option<f64>, interface: u32) -> Result<()> {
        let interval = rate.map_or(0.0, |rate| 1e9 / rate * f64::from(1 << FRACTION)) as u64;
        let pace = Pace {
            due: 0,
            interval,
            ..self.pace.get(&0, 0)?
        };
        self.pace.set(0, pace, 0)?;
        let context = context(self.packet.len(), interface);
        let program = xdp(&mut self.ebpf, self.entry)?;
        let mut options = TestRunOptions::new();
        options.data_in = Some(&self.packet);
        options.ctx_in = Some(context.as_flattened());
        options.repeat = packets;
        options.attrs = TestRunAttrs::new().xdp_live_frames(at_once);
        program.test_run(options).context("sending frames")?;
        Ok(())
    }

    /// How many packets a front of [`Order::Rising`] has made.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn made(&self) -> Result<u32> {
        Ok((self.source.get(&0, 0)?.position >> 32) as u32)
    }
}

fn load_floor(ebpf: &mut Ebpf, floor: Floor) -> Result<ProgramFd> {
    let name = match floor {
        Floor::Empty => "floor_empty",
        Floor::Swap => "floor_swap",
        Floor::Ipip => "floor_ipip",
        Floor::KnownCost(steps) => {
            let map = ebpf.map_mut("STEPS");
            let map = map.context("the benchmark's object has no map STEPS")?;
            Array::<_, u64>::try_from(map)?.set(0, steps, 0)?;
            "known_cost"
        }
    };
    load_fd(ebpf, name)
}

fn load_fd(ebpf: &mut Ebpf, name: &'static str) -> Result<ProgramFd> {
    load(ebpf, name)?;
    Ok(xdp(ebpf, name)?.fd()?.try_clone()?)
}

/// Has the kernel take one of the [`OBJECT`]'s programs.
///
/// # Errors
/// When it refuses.
pub fn load(ebpf: &mut Ebpf, name: &'static str) -> Result<()> {
    xdp(ebpf, name)?
        .load()
        .with_context(|| format!("the kernel refused the program {name}"))
}

/// One of the [`OBJECT`]'s programs.
///
/// # Errors
/// When it has none of that name.
pub fn xdp<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Xdp> {
    let program = ebpf.program_mut(name);
    let program = program.with_context(|| format!("the benchmark's object has no program {name}"))?;
    Ok(program.try_into()?)
}

/// One of the [`OBJECT`]'s maps.
///
/// # Errors
/// When it has none of that name, or it was taken.
pub fn take_map(ebpf: &mut Ebpf, name: &'static str) -> Result<Map> {
    ebpf.take_map(name)
        .with_context(|| format!("the benchmark's object has no map {name}"))
}
