//! Names of services: the packet path has no use for them, but a daemon that comes back to its maps has.

use crate::flow_table::Word;

const WORDS: usize = 8;

/// A name of at most [`ServiceName::MAX_LENGTH`] bytes, zero-padded; all zero where there is no service.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct ServiceName {
    words: [Word; WORDS],
}

const _: () = assert!(size_of::<ServiceName>() == 64);

impl ServiceName {
    /// Longest name in bytes.
    pub const MAX_LENGTH: usize = WORDS * 8;
}

/// Reading and writing; by the daemon alone.
#[cfg(not(target_arch = "bpf"))]
impl ServiceName {
    /// The name; `None` where there is no service.
    #[must_use]
    pub fn get(&self) -> Option<std::string::String> {
        let bytes: std::vec::Vec<u8> = self
            .words
            .iter()
            .flat_map(|word| word.load().to_ne_bytes())
            .take_while(|&byte| byte != 0)
            .collect();
        if bytes.is_empty() {
            None
        } else {
            Some(std::string::String::from_utf8_lossy(&bytes).into_owned())
        }
    }

    /// Sets the name; what exceeds [`Self::MAX_LENGTH`] bytes is cut off, which the configuration does not allow.
    pub fn set(&self, name: &str) {
        let mut bytes = [0; Self::MAX_LENGTH];
        for (to, &from) in bytes.iter_mut().zip(name.as_bytes()) {
            *to = from;
        }
        for (word, chunk) in self.words.iter().zip(bytes.as_chunks::<8>().0) {
            word.publish(u64::from_ne_bytes(*chunk));
        }
    }

    /// Removes the name.
    pub fn clear(&self) {
        self.set("");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_read() {
        let name = ServiceName::default();
        assert_eq!(name.get(), None);
        let longest = "x".repeat(ServiceName::MAX_LENGTH);
        for text in ["web", "größe", longest.as_str()] {
            name.set(text);
            assert_eq!(name.get().as_deref(), Some(text));
        }
        name.clear();
        assert_eq!(name.get(), None);
    }
}
