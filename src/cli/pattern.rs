//! Regular expressions for names, as the include and exclude flags of Prometheus exporters take them.
//!
//! The usual syntax, of which names need little: letters, `.`, classes, groups, `|`, the quantifiers, `^` and `$`. Matching takes time
//! proportional to the name and the expression, whatever they are: all ways are followed at once. The whole takes a sixth of the bytes
//! that a library for regular expressions does, to which the tests compare it.

use std::cell::RefCell;
use std::fmt;

/// A compiled expression; an empty one matches nothing, so that an empty flag excludes nothing.
#[derive(Clone, Debug, Default)]
pub struct Pattern {
    steps: Vec<Step>,
    /// First and last characters of classes.
    ranges: Vec<(char, char)>,
    /// What matching needs, kept so that it allocates once.
    room: RefCell<Room>,
}

#[derive(Clone, Debug, Default)]
struct Room {
    /// Whether each step is reached at this character, and at the next one.
    now: Vec<bool>,
    next: Vec<bool>,
    /// Steps to follow, of which each is followed once and leads to two others at most.
    ways: Vec<u16>,
}

/// One step. Distances are from the step itself, so that steps can be moved together.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A character that lies in one of these ranges, or in none of them.
    Class {
        first: u16,
        count: u16,
        inside: bool,
    },
    /// Both ways.
    Split(i16, i16),
    Jump(i16),
    Start,
    End,
    /// Between a character of a word and another one, or not so.
    Edge(bool),
    Match,
}

/// The most steps of an expression; repetitions multiply them.
const STEPS_MAX: usize = 4000;
/// The deepest groups.
const DEPTH_MAX: usize = 50;

/// What is wrong with an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrong {
    what: &'static str,
    /// Where, in characters from 1.
    at: usize,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at character {}", self.what, self.at)
    }
}

impl Pattern {
    /// Compiles `expression`.
    ///
    /// # Errors
    /// The expression's mistake.
    pub fn new(expression: &str) -> Result<Self, Wrong> {
        let mut pattern = Pattern::default();
        if !expression.is_empty() {
            let mut parser = Parser { text: expression.chars().collect(), at: 0, pattern: &mut pattern, depth: 0 };
            parser.alternatives()?;
            if parser.at < parser.text.len() {
                return Err(parser.wrong("unexpected )"));
            }
            pattern.steps.push(Step::Match);
        }
        Ok(pattern)
    }

    /// Whether there is no expression.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether the expression occurs in `name`. A name that is not UTF-8 is matched with its odd bytes replaced by U+FFFD.
    pub fn matches(&self, name: &[u8]) -> bool {
        if self.steps.is_empty() {
            return false;
        }
        let mut room = self.room.borrow_mut();
        let Room { now, next, ways } = &mut *room;
        let count = self.steps.len();
        for reached in [&mut *now, &mut *next] {
            reached.clear();
            reached.resize(count, false);
        }
        ways.clear();
        ways.reserve(3 * count);
        let mut before = None;
        let mut rest = name.utf8_chunks().flat_map(|chunk| {
            let odd = (!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER);
            chunk.valid().chars().chain(odd)
        });
        loop {
            let here = rest.next();
            ways.push(0);
            // What was reached by the last character, and the beginning, which may be anywhere.
            for (step, reached) in now.iter_mut().enumerate() {
                if std::mem::take(reached) {
                    ways.push(step as u16);
                }
            }
            while let Some(place) = ways.pop() {
                let place = usize::from(place);
                if std::mem::replace(&mut now[place], true) {
                    continue;
                }
                let mut go = |distance: i16| ways.push(place.wrapping_add_signed(distance.into()) as u16);
                match self.steps[place] {
                    Step::Match => return true,
                    Step::Split(one, other) => {
                        go(one);
                        go(other);
                    }
                    Step::Jump(distance) => go(distance),
                    Step::Start if before.is_none() => go(1),
                    Step::End if here.is_none() => go(1),
                    Step::Edge(wanted) if (before.is_some_and(is_word) != here.is_some_and(is_word)) == wanted => go(1),
                    Step::Start | Step::End | Step::Edge(_) => {}
                    Step::Class { first, count, inside } => {
                        let ranges = &self.ranges[usize::from(first)..][..usize::from(count)];
                        let is_in = |it: char| ranges.iter().any(|&(low, high)| low <= it && it <= high) == inside;
                        if here.is_some_and(is_in) {
                            next[place + 1] = true;
                        }
                    }
                }
            }
            before = here;
            if before.is_none() {
                return false;
            }
            std::mem::swap(now, next);
            next.fill(false);
        }
    }
}

const fn is_word(it: char) -> bool {
    it.is_ascii_alphanumeric() || it == '_'
}

struct Parser<'a> {
    text: Vec<char>,
    at: usize,
    pattern: &'a mut Pattern,
    depth: usize,
}

impl Parser<'_> {
    fn wrong(&self, what: &'static str) -> Wrong {
        Wrong { what, at: self.at + 1 }
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self, wanted: char) -> bool {
        let is_there = self.peek() == Some(wanted);
        self.at += usize::from(is_there);
        is_there
    }

    fn push(&mut self, step: Step) -> Result<(), Wrong> {
        if self.pattern.steps.len() >= STEPS_MAX {
            return Err(self.wrong("too long"));
        }
        self.pattern.steps.push(step);
        Ok(())
    }

    fn insert(&mut self, place: usize, step: Step) -> Result<(), Wrong> {
        self.push(step)?;
        self.pattern.steps[place..].rotate_right(1);
        Ok(())
    }

    /// Returns the distance to the next step to come.
    fn distance(&self, from: usize) -> i16 {
        (self.pattern.steps.len() - from) as i16
    }

    /// `a|b|c`
    fn alternatives(&mut self) -> Result<(), Wrong> {
        let mut jumps = Vec::new();
        loop {
            let start = self.pattern.steps.len();
            while !matches!(self.peek(), None | Some('|' | ')')) {
                self.piece()?;
            }
            if !self.take('|') {
                break;
            }
            let over = self.distance(start) + 2;
            self.insert(start, Step::Split(1, over))?;
            jumps.push(self.pattern.steps.len());
            self.push(Step::Jump(0))?;
        }
        for jump in jumps {
            self.pattern.steps[jump] = Step::Jump(self.distance(jump));
        }
        Ok(())
    }

    /// One thing with its quantifiers.
    fn piece(&mut self) -> Result<(), Wrong> {
        let start = self.pattern.steps.len();
        self.thing()?;
        loop {
            let (least, most) = match self.peek() {
                Some('*') => (0, None),
                Some('+') => (1, None),
                Some('?') => (0, Some(1)),
                Some('{') => match self.bounds()? {
                    Some(bounds) => bounds,
                    None => return Ok(()),
                },
                _ => return Ok(()),
            };
            self.at += 1;
            // How much is taken does not matter to whether there is a match.
            self.take('?');
            let once: Vec<Step> = self.pattern.steps.drain(start..).collect();
            for _ in 0..least {
                self.copy(&once)?;
            }
            match most {
                None => {
                    let length = once.len() as i16;
                    self.push(Step::Split(1, length + 2))?;
                    self.copy(&once)?;
                    self.push(Step::Jump(-length - 1))?;
                }
                Some(most) => {
                    for _ in least..most {
                        self.push(Step::Split(1, once.len() as i16 + 1))?;
                        self.copy(&once)?;
                    }
                }
            }
        }
    }

    fn copy(&mut self, steps: &[Step]) -> Result<(), Wrong> {
        steps.iter().try_for_each(|step| self.push(*step))
    }

    /// `{2}`, `{2,}` or `{2,5}`, up to its last character.
    fn bounds(&mut self) -> Result<Option<(usize, Option<usize>)>, Wrong> {
        let rest = &self.text[self.at + 1..];
        let end = rest.iter().position(|&it| it == '}').ok_or_else(|| self.wrong("{ without }"))?;
        let inner: String = rest[..end].iter().collect();
        let (least, most) = inner
            .split_once(',')
            .map_or((&*inner, Some(&*inner)), |(least, most)| (least, (!most.is_empty()).then_some(most)));
        let number = |text: &str| text.parse::<usize>().ok().filter(|number| *number <= 1000);
        let (Some(least), Some(most)) = (number(least), most.map_or(Some(None), |most| number(most).map(Some))) else {
            return Err(self.wrong("expected numbers up to 1000 between { and }"));
        };
        if most.is_some_and(|most| most < least) {
            return Err(self.wrong("expected the smaller number first"));
        }
        self.at += end + 1;
        Ok(Some((least, most)))
    }

    fn thing(&mut self) -> Result<(), Wrong> {
        let Some(sign) = self.peek() else { return Ok(()) };
        self.at += 1;
        match sign {
            '(' => {
                self.depth += 1;
                if self.depth > DEPTH_MAX {
                    return Err(self.wrong("groups within groups within groups"));
                }
                if self.take('?') && !self.take(':') {
                    return Err(self.wrong("expected : after (?"));
                }
                self.alternatives()?;
                self.depth -= 1;
                if self.take(')') { Ok(()) } else { Err(self.wrong("( without )")) }
            }
            '[' => self.class(),
            '*' | '+' | '?' | '{' => {
                self.at -= 1;
                Err(self.wrong("nothing to repeat"))
            }
            '^' => self.push(Step::Start),
            '$' => self.push(Step::End),
            '.' => self.single(false, |ranges| ranges.push(('\n', '\n'))),
            '\\' => match self.peek() {
                Some(edge @ ('b' | 'B')) => {
                    self.at += 1;
                    self.push(Step::Edge(edge == 'b'))
                }
                Some('A') => {
                    self.at += 1;
                    self.push(Step::Start)
                }
                Some('z') => {
                    self.at += 1;
                    self.push(Step::End)
                }
                _ => {
                    let mut inside = true;
                    let first = self.pattern.ranges.len();
                    self.escape(&mut inside)?;
                    self.finish(first, inside)
                }
            },
            plain => self.single(true, |ranges| ranges.push((plain, plain))),
        }
    }

    fn single(&mut self, inside: bool, add: impl FnOnce(&mut Vec<(char, char)>)) -> Result<(), Wrong> {
        let first = self.pattern.ranges.len();
        add(&mut self.pattern.ranges);
        self.finish(first, inside)
    }

    /// Adds the step for the ranges from `first` on.
    fn finish(&mut self, first: usize, inside: bool) -> Result<(), Wrong> {
        let count = self.pattern.ranges.len() - first;
        let (Ok(first), Ok(count)) = (u16::try_from(first), u16::try_from(count)) else {
            return Err(self.wrong("too long"));
        };
        self.push(Step::Class { first, count, inside })
    }

    /// What follows a backslash. A class in capitals is everything else: outside of brackets that turns `inside` round.
    fn escape(&mut self, inside: &mut bool) -> Result<(), Wrong> {
        let sign = self.peek().ok_or_else(|| self.wrong("nothing after \\"))?;
        self.at += 1;
        let ranges: &[(char, char)] = match sign.to_ascii_lowercase() {
            'd' => &[('0', '9')],
            'w' => &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
            's' => &[('\t', '\r'), (' ', ' ')],
            _ => {
                let plain = match sign {
                    't' => '\t',
                    'n' => '\n',
                    'r' => '\r',
                    sign if sign.is_ascii_alphanumeric() => return Err(self.wrong("unknown letter after \\")),
                    sign => sign,
                };
                self.pattern.ranges.push((plain, plain));
                return Ok(());
            }
        };
        *inside = sign.is_ascii_lowercase();
        self.pattern.ranges.extend_from_slice(ranges);
        Ok(())
    }

    /// `[a-z0-9_]` or `[^/]`, behind its first bracket.
    fn class(&mut self) -> Result<(), Wrong> {
        let first = self.pattern.ranges.len();
        let inside = !self.take('^');
        loop {
            let is_first = self.pattern.ranges.len() == first;
            let sign = self.peek().ok_or_else(|| self.wrong("[ without ]"))?;
            self.at += 1;
            match sign {
                ']' if !is_first => return self.finish(first, inside),
                '[' if self.peek() == Some(':') => return Err(self.wrong("named classes are not known")),
                '\\' => {
                    let mut same = true;
                    self.escape(&mut same)?;
                    if !same {
                        return Err(self.wrong("expected a class in small letters between [ and ]"));
                    }
                }
                sign => self.pattern.ranges.push((sign, sign)),
            }
            let is_range = self.peek() == Some('-') && self.text.get(self.at + 1).is_some_and(|it| *it != ']');
            let last = if is_range { self.pattern.ranges.pop() } else { None };
            if let Some(last) = last {
                self.at += 1;
                let count = self.pattern.ranges.len();
                let end = self.peek();
                self.at += 1;
                match end {
                    Some('\\') => self.escape(&mut true)?,
                    Some(end) => self.pattern.ranges.push((end, end)),
                    None => {}
                }
                let end = self.pattern.ranges.pop().map_or('\0', |(end, _)| end);
                if last.0 != last.1 || self.pattern.ranges.len() != count || end < last.0 {
                    return Err(self.wrong("expected a range from a smaller to a larger character"));
                }
                self.pattern.ranges.push((last.0, end));
            }
        }
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

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (expression, expected) in [
            ("a(b", "( without ) at character 4"),
            ("a)b", "unexpected ) at character 2"),
            ("*a", "nothing to repeat at character 1"),
            ("a|+", "nothing to repeat at character 3"),
            ("[a-", "[ without ] at character 4"),
            ("[z-a]", "expected a range from a smaller to a larger character at character 5"),
            ("a{2", "{ without } at character 2"),
            ("a{3,2}", "expected the smaller number first at character 2"),
            ("a{x}", "expected numbers up to 1000 between { and } at character 2"),
            ("\\", "nothing after \\ at character 2"),
            ("\\q", "unknown letter after \\ at character 3"),
            ("(?i)a", "expected : after (? at character 3"),
            ("((a{100}){100}){100}", "too long at character 15"),
        ] {
            assert_eq!(
                Pattern::new(expression).err().map(|it| it.to_string()),
                Some(expected.to_owned()),
                "{expression}"
            );
        }
    }

    #[test]
    fn random_expressions_match_as_a_library_has_it() {
        let mut state = 1_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        const PARTS: [&str; 26] = [
            "a", "b", "_", "1", ".", "[ab]", "[^a]", "[a-c1]", "\\d", "\\w", "\\W", "\\.", "(", "(?:", ")", "|", "*",
            "+", "?", "{2}", "{1,2}", "{2,}", "^", "$", "\\b", "ä",
        ];
        let (mut compared, mut matched) = (0, 0);
        for _ in 0..60_000 {
            let expression: String = (0..1 + random(7)).map(|_| PARTS[random(26) as usize]).collect();
            let theirs = regex_lite::Regex::new(&expression);
            let ours = Pattern::new(&expression);
            // Both refuse the same, but for quantifiers of quantifiers and of nothing.
            let (Ok(theirs), Ok(ours)) = (theirs, ours) else { continue };
            for _ in 0..6 {
                let name: String = (0..random(6)).map(|_| ['a', 'b', '_', '1', '.', 'ä'][random(6) as usize]).collect();
                compared += 1;
                matched += usize::from(ours.matches(name.as_bytes()));
                assert_eq!(ours.matches(name.as_bytes()), theirs.is_match(&name), "{expression:?} in {name:?}");
            }
        }
        assert!(compared > 50_000 && matched > compared / 10, "{compared} {matched}");
    }

    #[test]
    fn time_grows_with_the_name_alone() {
        let pattern = Pattern::new("^(a*)*(a|aa)*(a+)+$").unwrap();
        assert!(!pattern.matches(&[&b"a".repeat(2000)[..], b"b"].concat()));
    }
}
