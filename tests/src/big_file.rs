//! A large file of known content.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::LabError;

/// Size of the file, in bytes.
const SIZE: usize = 200_000_000;
/// How much is made at a time, in bytes.
const CHUNK: usize = 1 << 16;

/// A large file that compresses badly and repeats nowhere, with its checksum.
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

fn fill(path: &Path) -> io::Result<String> {
    let mut file = BufWriter::with_capacity(CHUNK, File::create(path)?);
    let mut hash = Sha256::new();
    let mut chunk = Vec::with_capacity(CHUNK);
    let mut words = 0_u64..;
    let mut left = SIZE;
    while left > 0 {
        chunk.clear();
        chunk.extend(
            words
                .by_ref()
                .take(CHUNK / 8)
                .flat_map(|word| scramble(word).to_le_bytes()),
        );
        chunk.truncate(left);
        left -= chunk.len();
        hash.update(&chunk);
        file.write_all(&chunk)?;
    }
    file.flush()?;
    Ok(hex(&hash.finalize()))
}

/// The output function of SplitMix64: a bijection, so that no two words of the file are the same.
const fn scramble(word: u64) -> u64 {
    let word = word.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
