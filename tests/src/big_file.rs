//! A large file of known content.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::LabError;

/// Size of the file, in bytes.
const SIZE: usize = 200_000_000;
/// How much is made at a time, in bytes.
const CHUNK: usize = 1 << 16;

/// A large file of which no two pieces are the same, with its checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BigFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 of its content, in hexadecimal.
    pub sha256: String,
}

impl BigFile {
    pub(crate) fn write(directory: &Path) -> Result<Self, LabError> {
        let path = directory.join("big");
        let sha256 = fill(&path).map_err(LabError::file("write", &path))?;
        Ok(Self {
            path,
            size: SIZE as u64,
            sha256,
        })
    }
}

/// Each chunk begins with its number; the rest is the same in all, since unoptimised code makes it slowly.
fn fill(path: &Path) -> io::Result<String> {
    let mut file = File::create(path)?;
    let mut hash = Sha256::new();
    let mut chunk: Vec<u8> = (0..CHUNK as u64 / 8)
        .flat_map(|word| scramble(word).to_le_bytes())
        .collect();
    for (number, start) in (0_u64..).zip((0..SIZE).step_by(CHUNK)) {
        chunk[..8].copy_from_slice(&scramble(number).to_le_bytes());
        let part = &chunk[..CHUNK.min(SIZE - start)];
        hash.update(part);
        file.write_all(part)?;
    }
    Ok(hex(&hash.finalize()))
}

/// The output function of SplitMix64: a bijection, so that different numbers give different words.
const fn scramble(number: u64) -> u64 {
    let word = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
