//! Installing Debian and Ubuntu packages.

use std::process::Command;

use anyhow::{Context, Result};

use crate::program::{Root, find, run, succeeds};

/// Installs packages, but starts none of the daemons in them and removes no other package.
///
/// `/usr/sbin/policy-rc.d` is the way in which Debian lets an administrator say "start nothing". One that is there
/// already is somebody's wish and stays as it is.
const INSTALL: &str = r#"
set -e
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\n# Of an installation that should start no daemon; may be deleted when it is over.\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get install --yes --no-install-recommends --no-remove -o DPkg::Lock::Timeout=300 -- "$@"
"#;

/// Keeps a unit from starting at the next boot: the lab runs its own copies inside namespaces.
const DISABLE: &str = r#"for unit in "$@"; do systemctl --quiet disable "$unit" || true; done"#;

/// The package manager, whose lists are brought up to date at most once.
pub(crate) struct Apt {
    root: Root,
    is_up_to_date: bool,
}

impl Apt {
    /// `None` where the system has no apt.
    ///
    /// # Errors
    /// There is apt, but no way to become root.
    pub(crate) fn find() -> Result<Option<Self>> {
        if find("apt-get").is_none() {
            return Ok(None);
        }
        let root = Root::find("installing packages")?;
        Ok(Some(Self {
            root,
            is_up_to_date: false,
        }))
    }

    /// Whether the archives that this system uses have all of `packages`.
    ///
    /// # Errors
    /// The package lists could not be fetched.
    pub(crate) fn offers(&mut self, packages: &[&str]) -> Result<bool> {
        self.update()?;
        // One by one: apt-cache is content when it finds any of several.
        Ok(packages
            .iter()
            .all(|package| succeeds(Command::new("apt-cache").arg("show").arg(package))))
    }

    /// Installs `packages` without starting daemons.
    ///
    /// # Errors
    /// apt-get failed, and said why on standard error.
    pub(crate) fn install(&mut self, packages: &[&str]) -> Result<()> {
        self.update()?;
        let names = packages.join(" ");
        run(self.root.command("sh").args(["-c", INSTALL, "sh"]).args(packages))
            .map_err(|_| anyhow::anyhow!("apt-get could not install {names}; its messages are above"))
    }

    /// Keeps `units`, if they exist, from starting at boot.
    ///
    /// # Errors
    /// The shell did not start.
    pub(crate) fn disable(&self, units: &[&str]) -> Result<()> {
        if units.is_empty() || find("systemctl").is_none() {
            return Ok(());
        }
        run(self.root.command("sh").args(["-c", DISABLE, "sh"]).args(units))
    }

    fn update(&mut self) -> Result<()> {
        if !self.is_up_to_date {
            run(self.root.command("apt-get").args(["update", "--quiet"]))
                .context("cannot fetch the package lists")?;
            self.is_up_to_date = true;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{DISABLE, INSTALL};
    use crate::program::run;

    #[test]
    fn the_scripts_are_shell() {
        for script in [INSTALL, DISABLE] {
            run(Command::new("sh").args(["-n", "-c", script])).expect("the shell parses it");
        }
    }
}
