//! A copy of what a living director has in force, flows and all, in maps of its own: whatever is done with it, the director does
//! not notice.

use lb_common::{
    abi::{LoadCount, names},
    flow_table::{Bucket, Entry},
};

use super::{
    DatapathError, Kernel, MapSizes, Pins, Tables,
    kernel::{map_tables, measure_clock, seeds, settings},
    object,
};

impl Kernel {
    /// Loads the program once more, with maps of its own that hold what those hold that are pinned there. Those are read: nothing is
    /// written to them, made beside them, or locked, so their daemon may be at work, or there may be none.
    ///
    /// `admit` is asked first, with the sizes of the maps: whether there is memory for them.
    ///
    /// # Errors
    /// [`DatapathError::NothingPinned`], [`DatapathError::Version`], and what else it takes to open maps and load a program.
    pub fn replica<E: From<DatapathError>>(
        pins: &Pins,
        admit: impl FnOnce(&MapSizes) -> Result<(), E>,
    ) -> Result<(Self, MapSizes), E> {
        let nothing = || DatapathError::NothingPinned {
            directory: pins.directory().to_owned(),
        };
        let (flow_seed, schedule_seed) = seeds(pins)?.ok_or_else(nothing)?;
        // One that is missing would be made, and pinned there.
        if names::MAPS.iter().any(|map| !pins.map(map).exists()) {
            return Err(nothing().into());
        }
        let sizes = MapSizes::of_pins(pins)?;
        admit(&sizes)?;
        let clock = measure_clock()?;
        let settings = settings(&sizes, flow_seed, schedule_seed, clock);
        let mut pinned = object::load(object::OBJECT, &sizes, &settings, Some(pins))?;
        let live = map_tables(&mut pinned, &sizes, &flow_seed, Some(pins))?;
        let copy = Self::apart(&sizes, &settings, clock)?;
        copy.tables.follow(&live);
        copy.tables.follow_flows(&live);
        Ok((copy, sizes))
    }
}

impl Tables {
    /// Copies what decides, but for flows. Whoever wants all of it from one moment sees to it that the one writer of the tables is
    /// not at work meanwhile.
    pub fn follow(&self, live: &Self) {
        let Self {
            runtime,
            vip_filter,
            strangers,
            frontends_v4,
            frontends_v6,
            areas,
            services,
            service_names,
            timeouts,
            slots,
            backends,
            loads,
            server_ids,
            pools,
            leases,
            // See `follow_flows`.
            flows_v4: _,
            flows_v6: _,
            translations_v4: _,
            translations_v6: _,
            // Nobody reads what is noted here.
            claims: _,
            journal: _,
            seed: _,
            books: _,
        } = live;
        self.runtime.copy_from(runtime);
        self.vip_filter.copy_from(vip_filter);
        self.strangers.copy_from(strangers);
        self.frontends_v4.copy_from(frontends_v4);
        self.frontends_v6.copy_from(frontends_v6);
        self.areas.copy_from(areas);
        self.services.copy_from(services);
        self.service_names.copy_from(service_names);
        self.timeouts.copy_from(timeouts);
        self.slots.copy_from(slots);
        self.backends.copy_from(backends);
        self.loads.copy_from(loads);
        self.server_ids.copy_from(server_ids);
        self.pools.copy_from(pools);
        self.leases.copy_from(leases);
    }

    /// Copies the flows, of tables as large as these. One that a packet changes meanwhile may be in neither state: its entry is one
    /// that nobody finds, or that looks older.
    fn follow_flows(&self, live: &Self) {
        self.flows_v4.copy_from(&live.flows_v4);
        self.flows_v6.copy_from(&live.flows_v6);
        self.translations_v4.copy_from(&live.translations_v4);
        self.translations_v6.copy_from(&live.translations_v6);
    }

    /// Empties the tables of flows and of translations. What was counted of them stays.
    pub fn forget_flows(&self) {
        empty(&self.flows_v4);
        empty(&self.flows_v6);
        empty(&self.translations_v4);
        empty(&self.translations_v6);
    }

    /// Makes all backends ones that have no flows.
    pub fn forget_counts(&self) {
        for load in self.loads.iter() {
            let LoadCount { active, inactive } = load.counts();
            load.correct(-(active as i32), -(inactive as i32));
        }
    }

    /// Living flows in both tables.
    #[must_use]
    pub fn count_flows(&self) -> u64 {
        count(&self.flows_v4) + count(&self.flows_v6)
    }
}

fn empty<E: Entry>(table: &[Bucket<E>]) {
    for entry in table.iter().flat_map(|bucket| &bucket.entries) {
        let control = entry.state();
        if control.is_live() {
            entry.remove(control);
        }
    }
}

fn count<E: Entry>(table: &[Bucket<E>]) -> u64 {
    let entries = table.iter().flat_map(|bucket| &bucket.entries);
    entries.filter(|entry| entry.state().is_live()).count() as u64
}
