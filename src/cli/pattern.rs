//! Regular expressions for names, as the exclude flags of Prometheus exporters take them.

use regex_lite::Regex;
use std::fmt;

/// A compiled expression; an empty one matches nothing, so that an empty flag excludes nothing.
#[derive(Clone, Debug, Default)]
pub struct Pattern(Option<Regex>);

impl Pattern {
    /// Compiles `expression`.
    ///
    /// # Errors
    /// The expression's mistake, as words.
    pub fn new(expression: &str) -> Result<Self, impl fmt::Display> {
        if expression.is_empty() {
            return Ok(Pattern(None));
        }
        Regex::new(expression).map(|regex| Pattern(Some(regex)))
    }

    /// Whether there is no expression.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether the expression occurs in `name`. A name that is not UTF-8 is matched with its odd bytes replaced by U+FFFD.
    pub fn matches(&self, name: &[u8]) -> bool {
        self.0.as_ref().is_some_and(|regex| regex.is_match(&String::from_utf8_lossy(name)))
    }
}

/// Checks the value of a flag that takes a regular expression.
///
/// # Errors
/// What is wrong with it.
pub fn check_pattern(value: &str) -> Result<(), String> {
    Pattern::new(value).map(drop).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_like_the_exporters_do() {
        let pattern = |text| Pattern::new(text).map_err(|error| error.to_string());
        let veth = pattern("^(veth.*|docker0)$").unwrap();
        assert!(veth.matches(b"veth12\xff") && veth.matches(b"docker0") && !veth.matches(b"docker01"));
        assert!(!pattern("").unwrap().matches(b"anything"));
        assert!(pattern("lo").unwrap().matches(b"flow"));
        assert!(pattern("(").is_err());
    }
}
