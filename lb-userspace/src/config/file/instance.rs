//! `[[instance]]`

use crate::config::Spanned;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    texts,
    track::{self, Track},
    unplaced,
};
use crate::{
    config::duration::Time,
    core::model::{self, Step},
};

/// `[[instance]]`
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Instance {
    pub(in crate::config) name: Spanned<String>,
    pub(in crate::config) vrid: Spanned<i64>,
    pub(in crate::config) interface: Spanned<String>,
    pub(in crate::config) vips: Spanned<Vec<Spanned<String>>>,
    pub(in crate::config) priority: Option<Spanned<i64>>,
    pub(in crate::config) advert_interval: Option<Spanned<Time>>,
    pub(in crate::config) failback: Option<model::Failback>,
    pub(in crate::config) failback_delay: Option<Spanned<Time>>,
    pub(in crate::config) group: Option<Spanned<String>>,
    pub(in crate::config) virtual_mac: Option<Spanned<bool>>,
    pub(in crate::config) peers: Option<Spanned<Vec<Spanned<String>>>>,
    pub(in crate::config) announce: Option<Announce>,
    pub(in crate::config) on_duplicate: Option<model::OnDuplicate>,
    pub(in crate::config) track: Option<Spanned<Vec<Spanned<Track>>>>,
    pub(in crate::config) hooks: Option<Hooks>,
}

/// `hooks` of an `[[instance]]`
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Hooks {
    pub(in crate::config) test: Option<Spanned<Vec<String>>>,
    pub(in crate::config) pre_acquire: Option<Spanned<Vec<String>>>,
    pub(in crate::config) post_acquire: Option<Spanned<Vec<String>>>,
    pub(in crate::config) pre_release: Option<Spanned<Vec<String>>>,
    pub(in crate::config) post_release: Option<Spanned<Vec<String>>>,
    pub(in crate::config) timeout: Option<Spanned<Time>>,
}

impl Hooks {
    /// The program of a step.
    pub(in crate::config) fn of(&self, step: Step) -> Option<&Spanned<Vec<String>>> {
        match step {
            Step::Test => self.test.as_ref(),
            Step::PreAcquire => self.pre_acquire.as_ref(),
            Step::PostAcquire => self.post_acquire.as_ref(),
            Step::PreRelease => self.pre_release.as_ref(),
            Step::PostRelease => self.post_release.as_ref(),
        }
    }
}

impl From<&model::Hooks> for Hooks {
    fn from(hooks: &model::Hooks) -> Self {
        let of = |step| hooks.commands.get(&step).cloned().map(unplaced);
        Self {
            test: of(Step::Test),
            pre_acquire: of(Step::PreAcquire),
            post_acquire: of(Step::PostAcquire),
            pre_release: of(Step::PreRelease),
            post_release: of(Step::PostRelease),
            timeout: Some(unplaced(Time(hooks.timeout))),
        }
    }
}

/// `announce` of an `[[instance]]`
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Announce {
    pub(in crate::config) repeat: Option<Spanned<i64>>,
    pub(in crate::config) interval: Option<Spanned<Time>>,
    pub(in crate::config) rate: Option<Spanned<i64>>,
    pub(in crate::config) refresh: Option<Spanned<Time>>,
}

impl From<&model::Instance> for Instance {
    fn from(instance: &model::Instance) -> Self {
        let time = |duration| Some(unplaced(Time(duration)));
        let number = |number: i64| Some(unplaced(number));
        let announce = &instance.announce;
        Self {
            name: unplaced(instance.name.clone()),
            vrid: unplaced(instance.vrid.into()),
            interface: unplaced(instance.interface.clone()),
            vips: texts(&instance.vips),
            priority: number(instance.priority.into()),
            advert_interval: time(instance.advert_interval),
            failback: Some(instance.failback),
            failback_delay: time(instance.failback_delay),
            group: instance.group.clone().map(unplaced),
            virtual_mac: Some(unplaced(instance.virtual_mac)),
            peers: Some(texts(&instance.peers)),
            announce: Some(Announce {
                repeat: number(announce.repeat.into()),
                interval: time(announce.interval),
                rate: number(announce.rate.into()),
                refresh: time(announce.refresh),
            }),
            on_duplicate: Some(instance.on_duplicate),
            track: track::list(&instance.track),
            hooks: Some((&instance.hooks).into()),
        }
    }
}
