//! `vrrp_instance` and `vrrp_sync_group`

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use super::{Notes, global::Global, hook, needless, seconds, statement::Statement};
use crate::{
    config::{
        duration::Time,
        import::{
            document::{Document, Table},
            lvs,
            report::{Comments, Outcome},
        },
        validate::{is_interface_name, not_one_host},
    },
    core::model::DEFAULT_PRIORITY,
};

/// What a VRRP instance without one has.
const INTERVAL: Duration = Duration::from_secs(1);
/// The shortest and the longest interval of VRRPv3, and its step (RFC 9568, section 5.2.7).
const INTERVALS: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(40_950)];
const STEP: u64 = 10;
/// Most VIPs of a family that an instance has here.
const MOST_VIPS: usize = 90;
/// Most unicast peers.
const MOST_PEERS: usize = 16;

/// All instances.
#[derive(Debug, Default)]
pub(super) struct Instances {
    list: Vec<Instance>,
    /// Programs that are run at a change of roles.
    hooks: Vec<hook::Hook>,
}

/// An instance, ready to be written.
#[derive(Debug, Default)]
struct Instance {
    name: String,
    comments: Comments,
    interface: String,
    vrid: u8,
    priority: u8,
    interval: Duration,
    never_fails_back: bool,
    failback_delay: Duration,
    group: Option<String>,
    vips: Vec<IpAddr>,
    peers: Vec<IpAddr>,
    /// VIPs are at their own MAC address, where that can be.
    virtual_mac: bool,
    announce: Announce,
}

/// How a takeover is announced; `None` as usual.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Announce {
    pub(super) repeat: Option<u8>,
    pub(super) refresh: Option<Duration>,
    pub(super) rate: Option<u32>,
}

impl Announce {
    /// Takes a statement that has the same meaning for all instances and for one; `None` if it is another.
    pub(super) fn take(&mut self, keyword: &str, statement: &Statement) -> Option<Outcome> {
        let argument = statement.argument();
        let outcome = match keyword {
            "garp_master_repeat" => match argument.parse() {
                Ok(repeat @ 1..) => {
                    self.repeat = Some(repeat);
                    Outcome::translated("`repeat` of `announce`")
                }
                _ => Outcome::missing("expected 1 to 255 announcements"),
            },
            "min_garp" => {
                self.repeat = Some(1);
                Outcome::translated("`repeat` of `announce`")
            }
            "garp_master_refresh" => match seconds(argument) {
                Some(refresh) => {
                    self.refresh = Some(refresh);
                    Outcome::translated("`refresh` of `announce`")
                }
                None => Outcome::missing("no time"),
            },
            "garp_interval" | "gna_interval" => match argument.parse::<f64>() {
                Ok(interval) if interval > 0.0 => {
                    self.rate = Some((1.0 / interval).clamp(1.0, 1e6) as u32);
                    Outcome::translated("`rate` of `announce`, for ARP and neighbour advertisements together")
                }
                _ => Outcome::needless("`rate` of `announce` is bounded by itself"),
            },
            "garp_master_delay" => {
                Outcome::needless("announcements are repeated every 500 ms; see `announce`")
            }
            _ => return None,
        };
        Some(outcome)
    }

    fn or(self, other: Self) -> Self {
        Self {
            repeat: self.repeat.or(other.repeat),
            refresh: self.refresh.or(other.refresh),
            rate: self.rate.or(other.rate),
        }
    }

    fn table(self) -> Option<toml::Table> {
        let mut table = toml::Table::new();
        if let Some(repeat) = self.repeat {
            table.insert("repeat".into(), i64::from(repeat).into());
        }
        if let Some(rate) = self.rate {
            table.insert("rate".into(), i64::from(rate).into());
        }
        if let Some(refresh) = self.refresh {
            table.insert("refresh".into(), Time(refresh).to_string().into());
        }
        (!table.is_empty()).then_some(table)
    }
}

impl Instances {
    pub(super) fn translate(blocks: &[&Statement], global: &Global, notes: &mut Notes) -> Self {
        let mut instances = Self::default();
        for block in blocks.iter().filter(|block| block.keyword() == "vrrp_instance") {
            instances.instance(block, global, notes);
        }
        for block in blocks.iter().filter(|block| block.keyword() == "vrrp_sync_group") {
            instances.group(block, notes);
        }
        instances
    }

    /// Interfaces in the order of the file.
    pub(super) fn interfaces(&self) -> Vec<String> {
        let mut interfaces: Vec<String> = Vec::new();
        for instance in &self.list {
            if !interfaces.contains(&instance.interface) {
                interfaces.push(instance.interface.clone());
            }
        }
        interfaces
    }

    fn instance(&mut self, block: &Statement, global: &Global, notes: &mut Notes) {
        let facts = match Facts::of(block, global) {
            Ok(facts) => facts,
            Err(outcome) => return notes.nothing(block, outcome),
        };
        let outside = notes.take_comments();
        let same = |other: &Instance| (&other.interface, other.vrid) == (&facts.interface, facts.vrid);
        let position = self.list.iter().position(same);
        let mut instance = Instance {
            name: self.unique_name(&lvs::name(block.argument())),
            interface: facts.interface,
            vrid: facts.vrid,
            priority: DEFAULT_PRIORITY,
            interval: INTERVAL,
            ..Instance::default()
        };
        notes.enter(
            block,
            match position {
                None => Outcome::translated(format!("[[instance]] {}", instance.name)),
                Some(at) => Outcome::translated(format!(
                    "[[instance]] {}, which has the same VRID: one instance has both families",
                    self.list[at].name
                )),
            },
        );
        if !facts.says_version_3 && !facts.is_v6 {
            let text = format!("{} (VRRP version 2)", block.text);
            let why = "VRRP version 3 is spoken, and version 2 not understood: all directors of the instance must change together";
            notes.enter_text(&block.place, &text, Outcome::approximated(why));
        }
        for statement in block.inner() {
            self.statement(statement, &mut instance, notes);
        }
        instance.announce = instance.announce.or(global.announce);
        let outcome = match position {
            Some(at) => self.list[at].join(&mut instance),
            None => self.add(&mut instance),
        };
        if let Some(outcome) = outcome {
            notes.enter(block, outcome);
        }
        let comments = notes.take_comments();
        notes.comments = outside;
        match position.or(self.list.len().checked_sub(1)) {
            Some(at) => self.list[at].comments.append(comments),
            None => notes.comments.append(comments),
        }
    }

    /// Adds an instance; what is to be said of it as a whole.
    fn add(&mut self, instance: &mut Instance) -> Option<Outcome> {
        let before = instance.vips.len();
        let told = instance.families_told();
        instance.vips.retain(|vip| told(vip));
        let outcome = match instance.vips.len() {
            0 => Some(Outcome::missing("it has no VIP that could be held")),
            left if left < before => Some(Outcome::missing(
                "VIPs of a family in which there is no peer are left out: add a peer of that family",
            )),
            _ => None,
        };
        if !instance.vips.is_empty() {
            self.list.push(std::mem::take(instance));
        }
        outcome
    }

    fn unique_name(&self, wanted: &str) -> String {
        let taken = |name: &str| self.list.iter().any(|instance| instance.name == name);
        let mut names = std::iter::once(wanted.to_owned()).chain((2..).map(|n| format!("{wanted}-{n}")));
        names.find(|name| !taken(name)).unwrap_or_default()
    }

    fn statement(&mut self, statement: &Statement, instance: &mut Instance, notes: &mut Notes) {
        let outcome = match statement.keyword() {
            "interface" | "virtual_router_id" => Outcome::translated(format!(
                "`{}`",
                if statement.keyword() == "interface" {
                    "interface"
                } else {
                    "vrid"
                }
            )),
            "version" => Outcome::translated("VRRP version 3 is the one that is spoken"),
            "priority" => match statement.argument().parse() {
                Ok(priority @ 1..) => {
                    instance.priority = priority;
                    Outcome::translated("`priority`")
                }
                _ => Outcome::missing("expected 1 to 255"),
            },
            "advert_int" => instance.interval(statement.argument()),
            "nopreempt" => {
                instance.never_fails_back = true;
                Outcome::translated("failback = \"never\"")
            }
            "preempt_delay" => match seconds(statement.argument()) {
                Some(delay) => {
                    instance.failback_delay = delay;
                    Outcome::translated("`failback_delay`")
                }
                None => Outcome::missing("no time"),
            },
            "virtual_ipaddress" | "virtual_ipaddress_excluded" => {
                notes.enter(statement, Outcome::translated("`vips`"));
                for inner in statement.inner() {
                    let outcome = instance.vip(inner, self.list.iter());
                    notes.enter(inner, outcome);
                }
                return;
            }
            "unicast_peer" => {
                notes.enter(statement, Outcome::translated("`peers`"));
                for inner in statement.inner() {
                    let outcome = instance.peer(inner);
                    notes.enter(inner, outcome);
                }
                return;
            }
            "use_vmac" => {
                instance.virtual_mac = true;
                Outcome::translated("`virtual_mac`, which is left out where there are `peers`")
            }
            keyword @ ("notify_master" | "notify_backup" | "notify_fault" | "notify_stop" | "notify") => {
                match hook::at(keyword, statement.argument()) {
                    Ok((hook, outcome)) => {
                        self.hooks.push(hook);
                        outcome
                    }
                    Err(outcome) => outcome,
                }
            }
            keyword => match instance.announce.take(keyword, statement) {
                Some(outcome) => outcome,
                None => return notes.whole(statement, needless::INSTANCE),
            },
        };
        notes.enter(statement, outcome);
    }

    /// Instances that move together here have the same priority and failback.
    fn group(&mut self, block: &Statement, notes: &mut Notes) {
        let mut name = lvs::name(block.argument());
        let members = block
            .inner()
            .iter()
            .filter(|statement| statement.keyword() == "group");
        let is_member = |name: &str| {
            let mut words = members
                .clone()
                .flat_map(Statement::inner)
                .flat_map(|inner| &inner.words);
            words.any(|word| lvs::name(word) == name)
        };
        // An instance without a group is one of its own name.
        while self
            .list
            .iter()
            .any(|instance| instance.name == name && !is_member(&name))
        {
            name.push_str("-group");
        }
        notes.enter(block, Outcome::translated(format!("group = \"{name}\"")));
        for statement in block.inner() {
            match statement.keyword() {
                "group" => {
                    notes.enter(statement, Outcome::translated("`group` of the instances"));
                    for inner in statement.inner() {
                        let outcomes = inner
                            .words
                            .iter()
                            .map(|member| self.join(&lvs::name(member), &name));
                        let worst = outcomes.max_by_key(|outcome| (outcome.attention, outcome.fate));
                        notes.enter(inner, worst.unwrap_or_else(|| Outcome::missing("no name")));
                    }
                }
                keyword @ ("notify_master" | "notify_backup" | "notify_fault" | "notify_stop" | "notify") => {
                    let outcome = match hook::at(keyword, statement.argument()) {
                        Ok((hook, outcome)) => {
                            self.hooks.push(hook);
                            outcome
                        }
                        Err(outcome) => outcome,
                    };
                    notes.enter(statement, outcome);
                }
                _ => notes.whole(statement, needless::INSTANCE),
            }
        }
    }

    fn join(&mut self, member: &str, group: &str) -> Outcome {
        let first = self
            .list
            .iter()
            .find(|instance| instance.group.as_deref() == Some(group));
        let first = first.map(|first| {
            (
                first.priority,
                first.never_fails_back,
                first.failback_delay,
                first.name.clone(),
            )
        });
        let Some(instance) = self.list.iter_mut().find(|instance| instance.name == member) else {
            return Outcome::missing("there is no instance of this name here");
        };
        if instance.group.is_some() {
            return Outcome::missing("it is in another group");
        }
        instance.group = Some(group.to_owned());
        let Some((priority, never_fails_back, failback_delay, first)) = first else {
            return Outcome::translated("`group`");
        };
        let own = (
            instance.priority,
            instance.never_fails_back,
            instance.failback_delay,
        );
        (
            instance.priority,
            instance.never_fails_back,
            instance.failback_delay,
        ) = (priority, never_fails_back, failback_delay);
        if own == (priority, never_fails_back, failback_delay) {
            Outcome::translated("`group`")
        } else {
            Outcome::approximated(format!(
                "`group`; priority and failback are those of {first}, as it must be in a group"
            ))
        }
    }

    /// The tables of the instances.
    pub(super) fn write(&self, document: &mut Document) {
        for instance in &self.list {
            instance.write(document);
        }
    }

    /// The tables of the programs.
    pub(super) fn write_hooks(&self, document: &mut Document) {
        let mut kinds: BTreeMap<&[String], Vec<&str>> = BTreeMap::new();
        for hook in &self.hooks {
            kinds.entry(&hook.command).or_default().push(hook.kind);
        }
        for (command, mut kinds) in kinds {
            kinds.sort_unstable();
            kinds.dedup();
            let mut table = Table::new("[[events.hook]]");
            table.set("command", command.to_vec()).set("kinds", kinds);
            document.tables.push(table);
        }
    }
}

/// Without which an instance is none.
struct Facts {
    interface: String,
    vrid: u8,
    says_version_3: bool,
    is_v6: bool,
}

impl Facts {
    fn of(block: &Statement, global: &Global) -> Result<Self, Outcome> {
        let find = |keyword| {
            block
                .inner()
                .iter()
                .find(|statement| statement.keyword() == keyword)
        };
        let vrid = find("virtual_router_id").and_then(|statement| statement.argument().parse().ok());
        let interface = match find("interface") {
            Some(statement) => Some(statement.argument().to_owned()),
            None => global.default_interface.clone(),
        };
        let first_vip = find("virtual_ipaddress").and_then(|vips| vips.inner().first());
        let version = find("version").map_or(global.version.as_deref(), |version| Some(version.argument()));
        Ok(Self {
            interface: interface
                .filter(|name| is_interface_name(name))
                .ok_or_else(|| Outcome::missing("it names no interface"))?,
            vrid: vrid
                .filter(|vrid| *vrid > 0)
                .ok_or_else(|| Outcome::missing("it has no virtual_router_id"))?,
            says_version_3: version == Some("3"),
            is_v6: first_vip.is_some_and(|vip| vip.keyword().contains(':')),
        })
    }
}

impl Instance {
    fn interval(&mut self, argument: &str) -> Outcome {
        let Some(wanted) = seconds(argument) else {
            return Outcome::missing("no time");
        };
        let [least, most] = INTERVALS;
        let milliseconds = (wanted.as_millis() as u64).div_ceil(STEP) * STEP;
        self.interval = Duration::from_millis(milliseconds).clamp(least, most);
        if self.interval == wanted {
            Outcome::translated("`advert_interval`")
        } else {
            Outcome::approximated(format!(
                "advert_interval = \"{}\", the nearest that there is",
                Time(self.interval)
            ))
        }
    }

    fn vip<'a>(&mut self, statement: &Statement, mut others: impl Iterator<Item = &'a Self>) -> Outcome {
        let words = &statement.words;
        let Ok(address) = words[0].split('/').next().unwrap_or_default().parse::<IpAddr>() else {
            return Outcome::missing("no address");
        };
        let is_link_local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        if let Some(kind) = not_one_host(address).filter(|_| !is_link_local) {
            return Outcome::missing(format!("it cannot be a VIP: it is {kind}"));
        }
        if self.vips.contains(&address) {
            return Outcome::needless("it is there already");
        }
        if let Some(other) = others.find(|other| other.vips.contains(&address)) {
            return Outcome::missing(format!("instance {} has it already", other.name));
        }
        if self
            .vips
            .iter()
            .filter(|vip| vip.is_ipv4() == address.is_ipv4())
            .count()
            >= MOST_VIPS
        {
            return Outcome::missing(format!(
                "more than {MOST_VIPS} of a family: make another instance, in one `group` with this"
            ));
        }
        self.vips.push(address);
        let device = words
            .iter()
            .position(|word| word == "dev")
            .and_then(|at| words.get(at + 1));
        match device {
            Some(device) if *device != self.interface => Outcome::approximated(format!(
                "`vips`; it is on {} here, the instance's own interface",
                self.interface
            )),
            _ => Outcome::translated("`vips`, without a prefix length"),
        }
    }

    fn peer(&mut self, statement: &Statement) -> Outcome {
        let Ok(address) = statement.words[0].parse::<IpAddr>() else {
            return Outcome::missing("no address");
        };
        if not_one_host(address).is_some() && !matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
        {
            return Outcome::missing("no address of a director");
        }
        if self.peers.len() == MOST_PEERS {
            return Outcome::missing(format!("there are {MOST_PEERS} peers at most"));
        }
        if !self.peers.contains(&address) {
            self.peers.push(address);
        }
        match statement.words.len() {
            1 => Outcome::translated("`peers`"),
            _ => Outcome::approximated("`peers`; advertisements with a TTL other than 255 are refused"),
        }
    }

    /// Whether a VIP is of a family in which there is somebody to tell.
    fn families_told(&self) -> impl Fn(&IpAddr) -> bool + use<> {
        let by_multicast = self.peers.is_empty();
        let [v4, v6] = [IpAddr::is_ipv4, IpAddr::is_ipv6].map(|is| by_multicast || self.peers.iter().any(is));
        move |vip| if vip.is_ipv4() { v4 } else { v6 }
    }

    /// Takes over the VIPs of another with the same VRID; what is to be said of that.
    fn join(&mut self, other: &mut Self) -> Option<Outcome> {
        let mut merged = Self {
            vips: [&self.vips[..], &other.vips].concat(),
            peers: [&self.peers[..], &other.peers].concat(),
            ..Self::default()
        };
        merged.peers.sort_unstable();
        merged.peers.dedup();
        let told = merged.families_told();
        if !merged.vips.iter().all(told) || merged.peers.len() > MOST_PEERS || merged.vips.len() > MOST_VIPS {
            return Some(Outcome::missing(format!(
                "it has the VRID of {}, but not the same peers, or too many VIPs: give it a VRID of its own",
                self.name
            )));
        }
        (self.vips, self.peers) = (merged.vips, merged.peers);
        self.virtual_mac |= other.virtual_mac;
        let own = (
            self.priority,
            self.interval,
            self.never_fails_back,
            self.failback_delay,
        );
        let others = (
            other.priority,
            other.interval,
            other.never_fails_back,
            other.failback_delay,
        );
        (own != others).then(|| {
            Outcome::approximated(format!(
                "priority, interval and failback are those of {}",
                self.name
            ))
        })
    }

    fn write(&self, document: &mut Document) {
        let mut table = Table::new("[[instance]]");
        for comment in self.comments.lines() {
            table.comment(comment);
        }
        let texts = |addresses: &[IpAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>();
        table
            .set("name", self.name.as_str())
            .set("vrid", i64::from(self.vrid))
            .set("interface", self.interface.as_str())
            .set("priority", i64::from(self.priority))
            .set("vips", texts(&self.vips))
            .set("advert_interval", Time(self.interval).to_string());
        if self.never_fails_back {
            table.set("failback", "never");
        }
        if !self.failback_delay.is_zero() {
            table.set("failback_delay", Time(self.failback_delay).to_string());
        }
        if let Some(group) = &self.group {
            table.set("group", group.as_str());
        }
        if !self.peers.is_empty() {
            table.set("peers", texts(&self.peers));
        } else if self.virtual_mac && self.priority < u8::MAX {
            table.set("virtual_mac", true);
        }
        if let Some(announce) = self.announce.table() {
            table.set("announce", announce);
        }
        document.tables.push(table);
    }
}
