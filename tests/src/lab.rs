//! The lab: switches and hosts in network namespaces, gone when it is dropped.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::big_file::BigFile;
use crate::cleanup::Record;
use crate::error::LabError;
use crate::host::Host;
use crate::limits;
use crate::netns::Namespace;
use crate::switch::Switch;

/// Interface names have at most 15 characters; a switch port is named after its host and a number.
const LONGEST_NAME: usize = 12;

/// A set of network namespaces of its own, with everything in them.
///
/// Nothing is added to the caller's network, so labs may use the same addresses side by side. Dropping the lab ends the
/// processes inside and removes it; see [`Host::spawn`] for how that holds when the caller dies first.
#[derive(Debug)]
pub struct Lab {
    record: Record,
    /// Names in use, in the order they were given.
    names: Mutex<Vec<String>>,
    big_file: Mutex<Option<BigFile>>,
}

impl Lab {
    /// Makes an empty lab, after removing those that dead processes left.
    ///
    /// The name is for people who look at what is running (`/run/tandem-lab/ID/owner`); any number of labs may share it.
    ///
    /// # Errors
    /// [`LabError::NotRoot`], [`LabError::Kernel`], [`LabError::MissingTool`] where no lab can be, and
    /// [`LabError::File`] when its directory cannot be made.
    pub fn new(name: &str) -> Result<Self, LabError> {
        if !nix::unistd::geteuid().is_root() {
            return Err(LabError::NotRoot);
        }
        if !PathBuf::from("/proc/self/ns/net").exists() {
            return Err(LabError::Kernel {
                what: "network namespaces",
                option: "CONFIG_NET_NS",
            });
        }
        crate::tool::find("ip")?;
        limits::raise_open_files();
        Ok(Self {
            record: Record::claim(name)?,
            names: Mutex::default(),
            big_file: Mutex::default(),
        })
    }

    /// What sets this lab apart on the machine: its namespaces are named `ID-HOST`.
    #[must_use]
    pub fn id(&self) -> &str {
        self.record.id()
    }

    /// Adds a switch.
    ///
    /// # Errors
    /// [`LabError::Name`] or [`LabError::NameTaken`], or what the system refused.
    pub fn switch(&self, name: &str) -> Result<Switch, LabError> {
        let (namespace, _) = self.namespace("switch", name)?;
        Switch::create(name, namespace)
    }

    /// Adds a host, which is connected to nothing yet.
    ///
    /// # Errors
    /// [`LabError::Name`] or [`LabError::NameTaken`], or what the system refused.
    pub fn host(&self, name: &str) -> Result<Host, LabError> {
        let (namespace, number) = self.namespace("host", name)?;
        Host::create(name, number, namespace, self.record.directory().join(name))
    }

    /// A file of 200 MB, to be served and downloaded; written when first asked for.
    ///
    /// # Errors
    /// [`LabError::File`] when it cannot be written.
    pub fn big_file(&self) -> Result<BigFile, LabError> {
        let mut file = self.big_file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &*file {
            return Ok(file.clone());
        }
        Ok(file
            .insert(BigFile::write(&self.record.data_directory()?)?)
            .clone())
    }

    /// A namespace, and the number of the host or switch in this lab.
    fn namespace(&self, kind: &'static str, name: &str) -> Result<(Namespace, u8), LabError> {
        let longest = LONGEST_NAME;
        let fits = (1..=longest).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !fits {
            return Err(LabError::Name {
                kind,
                name: name.to_owned(),
                longest,
            });
        }
        let number = {
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            if names.iter().any(|taken| taken == name) {
                return Err(LabError::NameTaken(name.to_owned()));
            }
            names.push(name.to_owned());
            u8::try_from(names.len()).map_err(|_| LabError::Full)?
        };
        Ok((Namespace::create(&format!("{}-{name}", self.id()))?, number))
    }
}
