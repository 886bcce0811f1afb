//! Statements and blocks.

use crate::config::import::{ImportError, Place};

/// A keyword with its arguments, and with the block behind it if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) place: Place,
    /// As it stands there.
    pub(super) text: String,
    /// Keyword and arguments; never empty.
    pub(super) words: Vec<String>,
    pub(super) block: Option<Vec<Statement>>,
}

impl Statement {
    pub(super) fn keyword(&self) -> &str {
        &self.words[0]
    }

    /// What follows the keyword.
    pub(super) fn arguments(&self) -> &[String] {
        &self.words[1..]
    }

    /// The first word behind the keyword; empty if there is none.
    pub(super) fn argument(&self) -> &str {
        self.words.get(1).map_or("", String::as_str)
    }

    /// The statements in its block.
    pub(super) fn inner(&self) -> &[Self] {
        self.block.as_deref().unwrap_or_default()
    }
}

/// Makes blocks of pieces.
#[derive(Debug, Default)]
pub(super) struct Builder {
    /// The statements of each block that is open, outermost first; the last statement of each owns the next.
    open: Vec<Vec<Statement>>,
    top: Vec<Statement>,
    last: Option<Place>,
}

/// Deepest nesting of blocks. keepalived knows four.
const DEEPEST: usize = 16;

impl Builder {
    /// Takes the next piece: `{`, `}`, or a statement.
    ///
    /// # Errors
    /// A brace too many, or a block of nothing.
    pub(super) fn take(&mut self, place: &Place, text: &str, words: Vec<String>) -> Result<(), ImportError> {
        let wrong = |problem: &str| ImportError::Syntax {
            place: place.clone(),
            problem: problem.to_owned(),
        };
        self.last = Some(place.clone());
        match text {
            "{" if self.open.len() == DEEPEST => Err(wrong("blocks too deep in each other")),
            "{" => match self.block().last() {
                Some(owner) if owner.block.is_none() => {
                    self.open.push(Vec::new());
                    Ok(())
                }
                _ => Err(wrong("a block without a keyword before its `{`")),
            },
            "}" => {
                let block = self.open.pop().ok_or_else(|| wrong("a `}` too many"))?;
                if let Some(owner) = self.block().last_mut() {
                    owner.block = Some(block);
                }
                Ok(())
            }
            _ => {
                if !words.is_empty() {
                    self.block().push(Statement {
                        place: place.clone(),
                        text: text.to_owned(),
                        words,
                        block: None,
                    });
                }
                Ok(())
            }
        }
    }

    fn block(&mut self) -> &mut Vec<Statement> {
        self.open.last_mut().unwrap_or(&mut self.top)
    }

    /// The statements at the top.
    ///
    /// # Errors
    /// A block that does not end.
    pub(super) fn finish(self) -> Result<Vec<Statement>, ImportError> {
        match (self.open.len(), self.last) {
            (missing @ 1.., Some(place)) => Err(ImportError::Syntax {
                place,
                problem: format!("{missing} `}}` missing at the end of the file"),
            }),
            _ => Ok(self.top),
        }
    }
}
