//! `track` of an `[[instance]]`

use crate::config::Spanned;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::unplaced;
use crate::{
    config::duration::Time,
    core::model::{self, Effect, Tracked},
};

/// One of `track`
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Track {
    pub(in crate::config) interface: Option<Spanned<String>>,
    pub(in crate::config) route: Option<Spanned<String>>,
    pub(in crate::config) ping: Option<Spanned<String>>,
    pub(in crate::config) gateway: Option<Spanned<String>>,
    pub(in crate::config) file: Option<Spanned<String>>,
    pub(in crate::config) process: Option<Spanned<String>>,
    pub(in crate::config) program: Option<Spanned<Vec<String>>>,
    pub(in crate::config) disk: Option<Spanned<String>>,
    pub(in crate::config) free: Option<Spanned<i64>>,
    pub(in crate::config) backends: Option<Spanned<i64>>,
    pub(in crate::config) weight: Option<Spanned<i64>>,
    pub(in crate::config) health: Option<Spanned<i64>>,
    pub(in crate::config) interval: Option<Spanned<Time>>,
    pub(in crate::config) timeout: Option<Spanned<Time>>,
    pub(in crate::config) rise: Option<Spanned<i64>>,
    pub(in crate::config) fall: Option<Spanned<i64>>,
}

/// `track = [ … ]`, if there is anything.
pub(super) fn list(tracks: &[model::Track]) -> Option<Spanned<Vec<Spanned<Track>>>> {
    let tables = tracks.iter().map(|track| unplaced(track.into())).collect();
    (!tracks.is_empty()).then(|| unplaced(tables))
}

impl From<&model::Track> for Track {
    fn from(track: &model::Track) -> Self {
        let time = |duration| Some(unplaced(Time(duration)));
        let number = |number: i64| Some(unplaced(number));
        let mut table = Self {
            interval: time(track.interval),
            timeout: time(track.timeout),
            rise: number(track.rise.into()),
            fall: number(track.fall.into()),
            ..Self::default()
        };
        match track.effect {
            Effect::Fault => table.weight = number(0),
            Effect::Priority(weight) => table.weight = number(weight.into()),
            Effect::Health(points) => table.health = number(points.into()),
        }
        match &track.what {
            Tracked::Interface(name) => table.interface = Some(unplaced(name.clone())),
            Tracked::Route { network, prefix } => {
                table.route = Some(unplaced(format!("{network}/{prefix}")));
            }
            Tracked::Gateway(address) => table.gateway = Some(unplaced(address.to_string())),
            Tracked::Disk { path, free } => {
                table.disk = Some(unplaced(path.display().to_string()));
                table.free = number((*free).into());
            }
            Tracked::Backends(percent) => table.backends = number((*percent).into()),
            Tracked::Ping(address) => table.ping = Some(unplaced(address.to_string())),
            Tracked::File(path) => table.file = Some(unplaced(path.display().to_string())),
            Tracked::Process(name) => table.process = Some(unplaced(name.clone())),
            Tracked::Program(command) => table.program = Some(unplaced(command.clone())),
        }
        table
    }
}
