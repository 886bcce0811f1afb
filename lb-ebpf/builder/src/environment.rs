//! What of a build script's environment the inner cargo may see.

/// Set by cargo or rustup for the outer build, for its compiler and its target; wrong for ours.
///
/// Names, not prefixes. `LD_LIBRARY_PATH` points at the outer toolchain's LLVM, which another compiler or
/// bpf-linker must not load.
const OUTER_BUILD: &[&str] = &[
    "CARGO",
    "DEBUG",
    "HOST",
    "LD_LIBRARY_PATH",
    "DYLD_FALLBACK_LIBRARY_PATH",
    "NUM_JOBS",
    "OPT_LEVEL",
    "OUT_DIR",
    "PROFILE",
    "TARGET",
];

/// Prefixes of the same. `RUSTC` covers the wrappers too (clippy is `RUSTC_WORKSPACE_WRAPPER`).
const OUTER_BUILD_PREFIXES: &[&str] = &[
    "CARGO_",
    "CLIPPY_",
    "DEP_",
    "MIRI",
    "RUSTC",
    "RUSTDOC",
    "RUSTFLAGS",
    "RUST_RECURSION_COUNT",
];

/// How to reach registries, where cargo keeps its files, how chatty it is, and the job server that keeps the
/// inner and the outer build together within the jobs asked for. These hold for any cargo.
const ANY_CARGO_PREFIXES: &[&str] = &[
    "CARGO_HOME",
    "CARGO_HTTP_",
    "CARGO_MAKEFLAGS",
    "CARGO_NET_",
    "CARGO_REGISTRIES_",
    "CARGO_REGISTRY_",
    "CARGO_TERM_",
];

/// Whether variable `name` belongs to the outer build and must not reach the inner one.
pub(crate) fn is_of_outer_build(name: &str) -> bool {
    let has_prefix_of = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    OUTER_BUILD.contains(&name)
        || name == "RUSTUP_TOOLCHAIN"
        || (has_prefix_of(OUTER_BUILD_PREFIXES) && !has_prefix_of(ANY_CARGO_PREFIXES))
}

#[cfg(test)]
mod tests {
    use super::is_of_outer_build;

    #[test]
    fn what_belongs_to_the_outer_build_is_dropped() {
        for name in [
            "CARGO",
            "CARGO_BUILD_TARGET",
            "CARGO_CFG_TARGET_ARCH",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_FEATURE_STD",
            "CARGO_MANIFEST_DIR",
            "CARGO_PROFILE_RELEASE_LTO",
            "CARGO_TARGET_DIR",
            "CARGO_UNSTABLE_BUILD_STD",
            "CLIPPY_ARGS",
            "DEP_Z_INCLUDE",
            "LD_LIBRARY_PATH",
            "OUT_DIR",
            "RUSTC",
            "RUSTC_LINKER",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTC_WRAPPER",
            "RUSTDOCFLAGS",
            "RUSTFLAGS",
            "RUSTUP_TOOLCHAIN",
            "TARGET",
        ] {
            assert!(is_of_outer_build(name), "{name} must not reach the inner cargo");
        }
    }

    #[test]
    fn what_any_cargo_needs_is_kept() {
        for name in [
            "CARGO_HOME",
            "CARGO_HTTP_CAINFO",
            "CARGO_MAKEFLAGS",
            "CARGO_NET_OFFLINE",
            "CARGO_REGISTRIES_CRATES_IO_PROTOCOL",
            "CARGO_TERM_COLOR",
            "HOME",
            "HTTPS_PROXY",
            "PATH",
            "RUSTUP_DIST_SERVER",
            "RUSTUP_HOME",
            "RUST_BACKTRACE",
            "TMPDIR",
        ] {
            assert!(!is_of_outer_build(name), "{name} must reach the inner cargo");
        }
    }
}
