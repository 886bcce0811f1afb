//! Tables of the reasons for which a message was not obeyed: a name, a slug and a sentence each.

/// Declares `pub enum Refusal` from lines of `Name, "slug", "Sentence.";`.
macro_rules! refusals {
    ($(#[$doc:meta])+ $($name:ident, $slug:literal, $sentence:literal;)+) => {
        $(#[$doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Refusal {
            $(#[doc = $sentence] $name,)+
        }

        impl Refusal {
            /// Every refusal, in the order of declaration, which is the order of the checks.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Short name for metrics and scripts: lower case, words joined by `_`.
            #[must_use]
            pub const fn slug(self) -> &'static str {
                match self {
                    $(Self::$name => $slug,)+
                }
            }

            /// One sentence for people.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self {
                    $(Self::$name => $sentence,)+
                }
            }
        }
    };
}

pub(super) use refusals;
