//! A picture in dots, for what takes no SVG.

use std::{
    env, io,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context as _, Result, ensure};

/// What makes PNG of SVG. A crate that does would bring a renderer and a typeface, more code than all of the benchmarks.
const RENDERER: &str = "rsvg-convert";
/// Pixels for one of the picture, so that it is sharp on a slide.
const ZOOM: &str = "2";

/// The renderer is not installed.
#[derive(Debug, thiserror::Error)]
#[error(
    "a PNG is drawn by `{RENDERER}`, which is not installed: `apt install librsvg2-bin` (Debian, Ubuntu) or \
     `dnf install librsvg2-tools` (Fedora); an SVG needs nothing (--svg)"
)]
pub struct NoRenderer;

/// What draws, if it is installed.
///
/// # Errors
/// When it is not, with what to install.
pub fn renderer() -> Result<PathBuf, NoRenderer> {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_program = |path: &PathBuf| {
        path.metadata()
            .is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
    };
    env::split_paths(&path)
        .map(|directory| directory.join(RENDERER))
        .find(is_program)
        .ok_or(NoRenderer)
}

/// An SVG as PNG, by a [`renderer`].
///
/// # Errors
/// What the renderer says.
pub fn rasterised(renderer: &Path, svg: &str) -> Result<Vec<u8>> {
    let mut drawing = Command::new(renderer)
        .args(["--zoom", ZOOM, "--format", "png"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {RENDERER}"))?;
    let stdin = drawing.stdin.take();
    let output = thread::scope(|scope| -> io::Result<_> {
        // It may have ended early, and then says why.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(svg.as_bytes())));
        drawing.wait_with_output()
    })
    .with_context(|| format!("waiting for {RENDERER}"))?;
    ensure!(
        output.status.success() && !output.stdout.is_empty(),
        "{RENDERER} draws no PNG: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}
